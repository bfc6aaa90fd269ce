"""For any input: no exception, no change of the input, and the output fits the schema."""

from __future__ import annotations

import copy

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stumble.translate import read_notification, read_tap
from stumble.translate.names import INSTANCE_SIGNALS, LEGACY_SIGNALS
from stumble.translate.skip import ALL
from stumble.wire.codec import decode_record, encode_record
from stumble.wire.schemas import EVENT
from tests.unit.translate import samples

SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30) | st.binary(max_size=5)
KEYS = st.sampled_from(
    [
        *("nova_object.data", "uuid", "instance_uuid", "instance_id", "fault", "reason", "exception", "args", "class"),
        *(
            "state",
            "state_update",
            "flavor",
            "name",
            "tag",
            "instances",
            "events",
            "instance",
            "request_spec",
            "objects",
        ),
        *("message", "kwargs", "code", "exception_message", "traceback", "volume_id", "bdm", "image_meta", "chain"),
        *("kind", "call_id", "time_us", "step", "migration", "target", "status", "token", "migration_type"),
    ],
) | st.text(max_size=8)
VALUES = st.recursive(
    SCALARS | st.sampled_from([samples.UUID, samples.TIME, samples.POWER_OFF_FAILURE]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=6),
    max_leaves=25,
)
TYPES = st.sampled_from(
    [
        *sorted(LEGACY_SIGNALS),
        *(f"instance.{name}.{phase}" for name in INSTANCE_SIGNALS for phase in ("start", "error")),
        *("compute.exception", "compute_task.build_instances.error", "stop_instance", "external_instance_event"),
    ],
)
DATA = st.dictionaries(KEYS, VALUES, max_size=10)
PAYLOADS = (
    DATA
    | DATA.map(lambda data: {"nova_object.data": data})
    | st.fixed_dictionaries(
        {"exception": VALUES, "args": DATA},
    )
)


NO_DEADLINE = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


def check(events: list[dict], reason: str | None) -> None:
    assert bool(events) == (reason is None)
    assert reason is None or reason in ALL
    for event in events:
        body = encode_record(EVENT, event)
        assert decode_record(EVENT, body)["event_id"] == event["event_id"]


@NO_DEADLINE
@given(event_type=TYPES | st.text(), payload=PAYLOADS | VALUES, context=VALUES)
def test_any_payload_is_translated_without_error_or_change(event_type: str, payload: object, context: object):
    message = samples.envelope(event_type, payload, "nova-compute:host1")
    before = copy.deepcopy(message)
    translation = read_notification(message, context)
    assert repr(message) == repr(before)
    assert repr(read_notification(before, context)) == repr(translation)
    check(*translation)


@NO_DEADLINE
@given(event_type=TYPES, changes=DATA, context=VALUES)
def test_valid_payload_with_any_changed_fields_is_translated(event_type: str, changes: dict, context: object):
    make = samples.versioned if event_type.startswith("instance.") else samples.legacy
    check(*read_notification(make(event_type, **changes), context))


@NO_DEADLINE
@given(envelope=st.dictionaries(st.sampled_from(list(samples.versioned("x"))), VALUES), context=VALUES)
def test_any_envelope_is_translated_without_error(envelope: dict, context: object):
    check(*read_notification(samples.versioned("instance.create.end") | envelope, context))


@NO_DEADLINE
@given(
    kind=st.sampled_from(["action_start", "event_start", "event_finish", "fault", "migration"]) | VALUES,
    call=DATA,
    context=VALUES,
)
def test_any_tap_call_is_translated_without_error(kind: object, call: dict, context: object):
    known = {"call_id": "c", "time_us": samples.TIME_US, "instance_uuid": samples.UUID, "kind": kind}
    check(*read_tap(known | call, context))
    check(*read_tap(call | known, context))
    check(*read_tap(call, context))
