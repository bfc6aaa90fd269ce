"""One call of external events, one failure: what the call's notification tells of it, and what it doesn't."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stumble.translate import read_notification, translate_notification
from tests.unit.translate.samples import CONTEXT, OTHER, UUID, instance, wrapped_exception

ONE, TWO = "0b0a0c5e-1111-4111-8111-000000000001", "0b0a0c5e-2222-4222-8222-000000000002"


def external(uuid: str, tag: str, name: str = "volume-extended") -> dict[str, Any]:
    fields = {"instance_uuid": uuid, "name": name, "status": "completed", "tag": tag}
    return {f"_obj_{key}": value for key, value in fields.items()} | {"_context": {"auth_token": "canary-token"}}


def failed(*events: Any, exception: str = "ValueError('x')", instances: Any = None) -> dict[str, Any]:
    known = [instance(), instance(OTHER)] if instances is None else instances
    return wrapped_exception("external_instance_event", exception, instances=known, events=list(events))


def one(message: dict[str, Any], **told: Any) -> dict[str, Any]:
    (event,) = read_notification(message, CONTEXT, **told).events
    return event


def test_the_only_volume_is_the_one_that_failed():
    event = one(failed(external(UUID, ONE)))
    assert (event["instance_uuid"], event["target_kind"], event["target_id"]) == (UUID, "volume", ONE)
    assert (event["action"], event["step"], event["phase"]) == ("extend_volume", "compute_extend_volume", "ERROR")
    assert event["attributes"] == {}


def test_of_several_volumes_of_one_server_it_is_one_and_not_known_which():
    event = one(failed(external(UUID, ONE), external(UUID, TWO)))
    assert (event["instance_uuid"], event["action"], event["step"]) == (UUID, "extend_volume", "compute_extend_volume")
    assert (event["target_kind"], event["target_id"]) == ("volume", None)
    assert event["attributes"] == {"one_of": f"{ONE} {TWO}"}
    assert event["failure"]["exception"] == "ValueError"


def test_of_several_servers_none_is_said_to_have_failed():
    event = one(failed(external(UUID, ONE), external(OTHER, ONE)))
    assert (event["instance_uuid"], event["instance"], event["owner_project_id"]) == (None, None, None)
    assert (event["action"], event["target_id"], event["attributes"]) == ("extend_volume", ONE, {})
    assert event["failure"]["exception"] == "ValueError"


def test_the_process_that_raised_it_knows():
    message = failed(external(UUID, ONE), external(UUID, TWO), external(OTHER, TWO))
    told = [one(message, failing=failing) for failing in ((UUID, ONE), (UUID, TWO), (OTHER, TWO))]
    assert [(event["instance_uuid"], event["target_id"]) for event in told] == [(UUID, ONE), (UUID, TWO), (OTHER, TWO)]
    assert [event["source"]["position"] for event in told] == [0, 1, 2]
    asked_in_vain = one(message, failing=("nobody", "nothing"))
    assert asked_in_vain == one(message)


def test_what_is_not_known_has_an_id_of_its_own():
    """A bridge and a driver may tell of the same call: one id would mean two things."""
    message = failed(external(UUID, ONE), external(UUID, TWO))
    told = [one(message), *(one(message, failing=(UUID, volume)) for volume in (ONE, TWO))]
    assert len({event["event_id"] for event in told}) == 3


@pytest.mark.parametrize(("named", "target"), [((ONE,), ONE), ((TWO,), TWO), ((ONE, TWO), None)])
def test_the_exception_may_name_the_volume(named: tuple[str, ...], target: str | None):
    exception = f"VolumeNotFound('Volume {' or '.join(named)} could not be found.')"
    event = one(failed(external(UUID, ONE), external(UUID, TWO), exception=exception))
    assert (event["instance_uuid"], event["target_id"]) == (UUID, target)


def test_the_exception_may_name_the_server():
    exception = f"InstanceNotFound('Instance {OTHER} could not be found.')"
    event = one(failed(external(UUID, ONE), external(OTHER, ONE), exception=exception))
    assert (event["instance_uuid"], event["target_id"]) == (OTHER, ONE)
    assert event["source"]["position"] == 1


def test_an_extended_volume_and_a_power_update_share_nothing():
    event = one(failed(external(UUID, ONE), external(UUID, "POWER_OFF", "power-update")))
    assert (event["instance_uuid"], event["action"], event["step"], event["target_id"]) == (UUID, None, None, None)


def test_events_that_start_no_action_are_none():
    network = external(UUID, "port-1", "network-changed")
    assert read_notification(failed(network), CONTEXT) == ([], "not_an_action")
    assert one(failed(network, external(UUID, ONE)))["target_id"] == ONE


def test_external_events_as_text():
    text = f"InstanceExternalEvent(instance_uuid={UUID},name='volume-extended',status='completed',tag='vol-1')"
    instances = [f"Instance(display_name='a,uuid={OTHER}',uuid={UUID},vcpus=1)"]
    event = one(failed(text, instances=instances))
    assert (event["instance_uuid"], event["target_id"]) == (UUID, "vol-1")


def test_events_that_tell_nothing_leave_the_instance_if_there_is_one():
    event = one(failed("?", instances=[instance()]))
    assert (event["instance_uuid"], event["action"], event["step"]) == (UUID, None, None)
    assert one(failed("?"))["instance_uuid"] is None
    assert read_notification(failed("?", instances=[]), CONTEXT) == ([], "no_instance")


_TARGETS = st.lists(st.tuples(st.sampled_from((UUID, OTHER)), st.sampled_from((ONE, TWO))), min_size=1, unique=True)


@given(_TARGETS, st.data())
def test_never_more_than_one_failed(targets: list[tuple[str, str]], data: st.DataObject):
    """Whatever the call names: what is told is true of the one that failed, whichever it is."""
    failing = data.draw(st.sampled_from(targets))
    asked = data.draw(st.booleans())
    message = failed(*(external(*target) for target in targets))
    (event,) = (
        read_notification(message, CONTEXT, failing=failing).events
        if asked
        else translate_notification(message, CONTEXT)
    )
    assert event["instance_uuid"] in (failing[0], None)
    assert event["target_id"] in (failing[1], None)
    if asked or len(targets) == 1:
        assert (event["instance_uuid"], event["target_id"]) == failing
