from __future__ import annotations

import sys
from collections.abc import Mapping
from types import SimpleNamespace

import pytest

from stumble.nova import undone
from stumble.nova.producer import Producer
from tests.unit.nova.test_calls import UUID, Loaded

CONTEXT = SimpleNamespace(request_id="req-1", user_id="alice", project_id="blue", global_request_id=None)
INSTANCE = Loaded(uuid=UUID, vm_state="active", task_state="image_backup")
NOT_LOADED = Loaded()


class NotFound(Exception):
    pass


class VolumeBDMNotFound(NotFound):
    pass


class UnexpectedTaskStateError(Exception):
    pass


class Sink(Producer):
    """A producer without an outbox; records the calls."""

    service = "nova-compute"
    host = "host1"

    def __init__(self) -> None:
        self.calls: list[dict] = []

    def emit_call(self, call: Mapping, ctxt: Mapping) -> None:
        assert ctxt["request_id"] == "req-1"
        self.calls.append(dict(call))

    def shown(self) -> list[tuple]:
        classes = [(call.get("exception") or {}).get("class") for call in self.calls]
        return [(call["kind"], call["step"], name) for call, name in zip(self.calls, classes, strict=True)]


@pytest.fixture
def sink() -> Sink:
    return Sink()


def look_up_image(sink: Sink) -> None:
    """Stand in for the wrapped function, called by the function of Nova whose frame the observer reads."""
    undone.image_lookup(sink, sys._getframe(1), {})


@pytest.mark.parametrize(
    ("state", "step"),
    [("image_backup", "compute_backup_instance"), ("image_snapshot", "compute_snapshot_instance")],
)
def test_exception_swallowed_by_a_snapshot_is_reported_with_its_step(sink: Sink, state: str, step: str) -> None:
    def _snapshot_instance(context, instance, expected_task_state):
        try:
            raise NotFound("gone")  # noqa: TRY301
        except NotFound:
            look_up_image(sink)

    _snapshot_instance(CONTEXT, INSTANCE, state)
    assert sink.shown() == [("step_undone", step, "NotFound")]
    assert (sink.calls[0]["host"], sink.calls[0]["instance"]["task_state"]) == ("host1", "image_backup")


def test_other_lookups_of_an_image_are_not_reported(sink: Sink) -> None:
    def _snapshot_instance(context, instance, expected_task_state):
        look_up_image(sink)

    _snapshot_instance(CONTEXT, INSTANCE, "image_backup")
    try:
        raise NotFound  # noqa: TRY301
    except NotFound:
        look_up_image(sink)
    assert sink.calls == []


@pytest.mark.parametrize(
    ("raised", "device", "expected"),
    [
        (VolumeBDMNotFound("x"), None, [("step_undone", "compute_extend_volume", "VolumeBDMNotFound")]),
        (None, Loaded(connection_info=None), [("step_undone", "compute_extend_volume", None)]),
        (None, Loaded(connection_info="{}"), []),
        (None, NOT_LOADED, []),
        (ValueError("Nova raises it"), None, []),
    ],
)
def test_volume_that_is_not_extended_is_reported(
    sink: Sink, raised: Exception | None, device: Loaded | None, expected: list[tuple]
) -> None:
    def extend_volume(instance):
        return undone.volume_lookup(sink, sys._getframe(), {"context": CONTEXT, "volume_id": "vol"})

    after = extend_volume(INSTANCE)
    assert after is not None
    after(raised, device)
    assert sink.shown() == expected
    assert all(call["target"] == ("volume", "vol") for call in sink.calls)


def test_volume_lookup_by_another_method_is_not_observed(sink: Sink) -> None:
    def detach_volume(instance):
        return undone.volume_lookup(sink, sys._getframe(), {"context": CONTEXT, "volume_id": "vol"})

    assert detach_volume(INSTANCE) is None


def test_failed_save_is_reported_where_nova_swallows_it(sink: Sink) -> None:
    state = {"uuid": UUID, "vm_state": "active"}

    def do_power_update(error):
        undone.failed_save(sink, sys._getframe(), CONTEXT, state, error)

    def stop_instance(error):
        undone.failed_save(sink, sys._getframe(), CONTEXT, state, error)

    do_power_update(ValueError("Nova raises it"))
    stop_instance(UnexpectedTaskStateError("Nova raises it"))
    assert sink.calls == []
    do_power_update(UnexpectedTaskStateError("swallowed"))
    assert sink.shown() == [("step_undone", "compute_power_update", "UnexpectedTaskStateError")]
