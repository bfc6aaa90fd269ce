from __future__ import annotations

import sys
from types import SimpleNamespace

from stumble.nova import calls, service
from stumble.nova.states import SavedStates

UUID = "178b0921-8f85-4257-88b6-2e743b5a975c"


class Loaded:
    """Stands in for an object of Nova, which loads a missing field from the database; here that raises KeyError."""

    def __init__(self, **fields: object) -> None:
        self._fields = fields

    def obj_attr_is_set(self, name: str) -> bool:
        return name in self._fields

    def __getattr__(self, name: str) -> object:
        if name.startswith("_"):
            raise AttributeError(name)
        return self._fields[name]


def test_only_loaded_fields_are_read():
    fields_read = calls.instance(Loaded(uuid=UUID, vm_state="active", power_state=1, flavor=Loaded(name="small")))
    assert fields_read == {"uuid": UUID, "vm_state": "active", "power_state": "running", "flavor": "small"}
    assert calls.instance(Loaded(uuid=UUID))["flavor"] is None
    assert calls.instance({"uuid": UUID})["power_state"] is None
    assert "uuid" not in calls.instance(None)


def test_same_instance_ignores_another_instance():
    assert calls.same_instance(Loaded(uuid="other", vm_state="active"), UUID) == {}
    assert calls.same_instance(None, UUID) == {}
    assert calls.same_instance("text", UUID) == {}


def test_missing_context_fields_are_none():
    assert set(calls.context(None).values()) == {None}
    assert calls.context(SimpleNamespace(request_id="req-1"))["request_id"] == "req-1"


def test_step_target_is_read_from_the_arguments():
    assert calls.step_target("compute_extend_volume", {"extended_volume_id": "v"}) == ("volume", "v")
    assert calls.step_target("compute_attach_volume", {"bdm": Loaded(volume_id="v")}) == ("volume", "v")
    assert calls.step_target("compute_attach_interface", {"port_id": None}) is None
    assert calls.step_target("compute_attach_volume", {"bdm": None}) is None
    assert calls.step_target("compute_stop_instance", {"volume_id": "v"}) is None


def test_extended_volume_is_read_from_the_event_in_the_callers_frame():
    event: Loaded | None = Loaded(name="volume-extended", tag="v")
    assert event
    assert calls.extended_volume("extend_volume", sys._getframe()) == ("volume", "v")
    assert calls.extended_volume("stop", sys._getframe()) is None
    event = None
    assert event is None
    assert calls.extended_volume("extend_volume", sys._getframe()) is None


def test_caller_that_is_not_a_reporter_gives_nothing():
    assert calls.reporter(sys._getframe()) == (None, {})
    assert calls.reporter(None) == (None, {})


def test_service_is_derived_from_program_step_or_caller():
    assert service.of_process(SimpleNamespace(prog="/usr/bin/nova-compute")) == "nova-compute"
    assert service.of_process(SimpleNamespace(prog="nova-api-wsgi")) == "nova-api"
    assert service.of_process(SimpleNamespace(prog="python")) is None
    assert service.of_step("compute_stop_instance") == "nova-compute"
    assert service.of_step("api_lock") == "nova-api"
    assert service.of_step("cold_migrate") == "nova-conductor"
    assert service.of_caller(sys._getframe()) is None


class Conf(dict):
    __getattr__ = dict.__getitem__


def test_hypervisor_type_is_derived_from_the_compute_driver():
    libvirt = Conf(virt_type="kvm")
    assert service.hypervisor_type(Conf(compute_driver="libvirt.LibvirtDriver", libvirt=libvirt)) == "kvm"
    assert service.hypervisor_type(Conf(compute_driver="ironic.IronicDriver")) == "ironic"
    assert service.hypervisor_type(Conf(compute_driver=None)) is None
    assert service.hypervisor_type(Conf()) is None


def test_saved_states_are_bounded_and_the_last_one_is_used():
    states = SavedStates(limit=2)
    states.saved("a", "req-1", "active", None)
    states.saved("b", "req-1", "active", None)
    states.saved("a", "req-1", "error", "deleting")
    states.saved("c", "req-1", "active", None)
    assert states.corrected({"vm_state": "x", "node": "n"}, "a", "req-1") == {
        "vm_state": "error",
        "task_state": "deleting",
        "node": "n",
    }
    assert states.corrected({"vm_state": "x"}, "b", "req-1") == {"vm_state": "x"}
    assert states.corrected({"vm_state": "x"}, "a", "req-2") == {"vm_state": "x"}


def test_state_handed_to_a_step_replaces_the_one_saved_before():
    states = SavedStates()
    states.saved("a", "req-1", "active", "resize_prep")
    states.handed("a", "req-1", {"vm_state": "resized", "task_state": None})
    assert states.corrected({"vm_state": "refreshed"}, "a", "req-1") == {"vm_state": "refreshed"}
    assert states.saved("a", "req-1", "error", None) == "resized"
    assert states.corrected({"vm_state": "resized"}, "a", "req-1")["vm_state"] == "error"


def test_migration_is_read_only_where_it_decides_the_end_of_the_step():
    arguments = {"migration": Loaded(uuid=UUID, status="error")}
    assert calls.step_migration("compute_confirm_resize", arguments) == {"uuid": UUID, "status": "error"}
    assert calls.step_migration("compute_prep_resize", arguments) is None
    assert calls.step_migration("compute_confirm_resize", {}) == {}
