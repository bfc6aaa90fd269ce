"""A failed call with external events is one failure; its notification does not always name the failed target."""

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


def one(message: dict[str, Any], **options: Any) -> dict[str, Any]:
    (event,) = read_notification(message, CONTEXT, **options).events
    return event


def test_single_volume_is_the_failed_one():
    event = one(failed(external(UUID, ONE)))
    assert (event["instance_uuid"], event["target_kind"], event["target_id"]) == (UUID, "volume", ONE)
    assert (event["action"], event["step"], event["phase"]) == ("extend_volume", "compute_extend_volume", "ERROR")
    assert event["attributes"] == {}


def test_failed_volume_is_unknown_among_several_volumes_of_one_server():
    event = one(failed(external(UUID, ONE), external(UUID, TWO)))
    assert (event["instance_uuid"], event["action"], event["step"]) == (UUID, "extend_volume", "compute_extend_volume")
    assert (event["target_kind"], event["target_id"]) == ("volume", None)
    assert event["attributes"] == {"one_of": f"{ONE} {TWO}"}
    assert event["failure"]["exception"] == "ValueError"


def test_failed_server_is_unknown_among_several_servers():
    event = one(failed(external(UUID, ONE), external(OTHER, ONE)))
    assert (event["instance_uuid"], event["instance"], event["owner_project_id"]) == (None, None, None)
    assert (event["action"], event["target_id"], event["attributes"]) == ("extend_volume", ONE, {})
    assert event["failure"]["exception"] == "ValueError"


def test_process_that_raised_the_exception_gives_server_and_volume():
    message = failed(external(UUID, ONE), external(UUID, TWO), external(OTHER, TWO))
    read_events = [one(message, failing=failing) for failing in ((UUID, ONE), (UUID, TWO), (OTHER, TWO))]
    assert [(event["instance_uuid"], event["target_id"]) for event in read_events] == [
        (UUID, ONE),
        (UUID, TWO),
        (OTHER, TWO),
    ]
    assert [event["source"]["position"] for event in read_events] == [0, 1, 2]
    unmatched = one(message, failing=("nobody", "nothing"))
    assert unmatched == one(message)


def test_event_without_known_target_has_an_id_of_its_own():
    """A bridge and a driver may report the same call: the same id would stand for different events."""
    message = failed(external(UUID, ONE), external(UUID, TWO))
    read_events = [one(message), *(one(message, failing=(UUID, volume)) for volume in (ONE, TWO))]
    assert len({event["event_id"] for event in read_events}) == 3


@pytest.mark.parametrize(("named", "target"), [((ONE,), ONE), ((TWO,), TWO), ((ONE, TWO), None)])
def test_volume_is_read_from_the_text_of_the_exception(named: tuple[str, ...], target: str | None):
    exception = f"VolumeNotFound('Volume {' or '.join(named)} could not be found.')"
    event = one(failed(external(UUID, ONE), external(UUID, TWO), exception=exception))
    assert (event["instance_uuid"], event["target_id"]) == (UUID, target)


def test_server_is_read_from_the_text_of_the_exception():
    exception = f"InstanceNotFound('Instance {OTHER} could not be found.')"
    event = one(failed(external(UUID, ONE), external(OTHER, ONE), exception=exception))
    assert (event["instance_uuid"], event["target_id"]) == (OTHER, ONE)
    assert event["source"]["position"] == 1


def test_action_is_unknown_for_an_extended_volume_with_a_power_update():
    event = one(failed(external(UUID, ONE), external(UUID, "POWER_OFF", "power-update")))
    assert (event["instance_uuid"], event["action"], event["step"], event["target_id"]) == (UUID, None, None, None)


def test_external_event_without_an_action_is_ignored():
    network = external(UUID, "port-1", "network-changed")
    assert read_notification(failed(network), CONTEXT) == ([], "not_an_action")
    assert one(failed(network, external(UUID, ONE)))["target_id"] == ONE


def test_external_events_are_read_from_text():
    text = f"InstanceExternalEvent(instance_uuid={UUID},name='volume-extended',status='completed',tag='vol-1')"
    instances = [f"Instance(display_name='a,uuid={OTHER}',uuid={UUID},vcpus=1)"]
    event = one(failed(text, instances=instances))
    assert (event["instance_uuid"], event["target_id"]) == (UUID, "vol-1")


def test_unreadable_events_give_the_instance_only_if_it_is_the_only_one():
    event = one(failed("?", instances=[instance()]))
    assert (event["instance_uuid"], event["action"], event["step"]) == (UUID, None, None)
    assert one(failed("?"))["instance_uuid"] is None
    assert read_notification(failed("?", instances=[]), CONTEXT) == ([], "no_instance")


_TARGETS = st.lists(st.tuples(st.sampled_from((UUID, OTHER)), st.sampled_from((ONE, TWO))), min_size=1, unique=True)


@given(_TARGETS, st.data())
def test_reported_target_is_the_failed_one_or_unknown(targets: list[tuple[str, str]], data: st.DataObject):
    """For any targets of the call, the reported server and volume are those that failed, or None."""
    failing = data.draw(st.sampled_from(targets))
    target_is_known = data.draw(st.booleans())
    message = failed(*(external(*target) for target in targets))
    (event,) = (
        read_notification(message, CONTEXT, failing=failing).events
        if target_is_known
        else translate_notification(message, CONTEXT)
    )
    assert event["instance_uuid"] in (failing[0], None)
    assert event["target_id"] in (failing[1], None)
    if target_is_known or len(targets) == 1:
        assert (event["instance_uuid"], event["target_id"]) == failing
