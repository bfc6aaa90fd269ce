"""Nova's fake virt driver, with guests that survive a restart of the process, and controlled methods."""

from __future__ import annotations

import json
import os
import pathlib
import threading
import uuid
from typing import Any

from nova.virt import fake

from novaservices import control

METHODS = (
    *("spawn", "destroy", "snapshot", "reboot", "power_off", "power_on", "pause", "unpause", "suspend", "resume"),
    *("rescue", "unrescue", "set_admin_password", "migrate_disk_and_power_off", "finish_migration"),
    *("finish_revert_migration", "confirm_migration", "pre_live_migration", "live_migration"),
    *("check_can_live_migrate_destination", "check_can_live_migrate_source", "post_live_migration_at_destination"),
)


class ControlledDriver(fake.FakeDriver):  # type: ignore[misc]
    """One hypervisor: its guests are stored in the file `guests.json` of the control folder."""

    def __init__(self, virtapi: Any, read_only: bool = False):
        super().__init__(virtapi, read_only)
        self._file = pathlib.Path(os.environ[control.FOLDER]) / "guests.json"
        self._save_lock = threading.Lock()

    def init_host(self, host: str) -> None:
        """Load the guests of the previous process."""
        super().init_host(host)
        if self._file.exists():
            for guest, (name, state) in json.loads(self._file.read_text()).items():
                self.instances[guest] = fake.FakeInstance(name, state, guest)

    def save_guests(self) -> None:
        """Write the guests to the file; calls that end at the same time write one after the other."""
        with self._save_lock:
            guests = {guest: (instance.name, instance.state) for guest, instance in list(self.instances.items())}
            new_file = self._file.with_suffix(".new")
            new_file.write_text(json.dumps(guests))
            new_file.replace(self._file)

    def get_available_resource(self, nodename: str) -> dict[str, Any]:
        """Give the node the same uuid in every process (the base class makes one up)."""
        resources = super().get_available_resource(nodename)
        return resources and {**resources, "uuid": node_uuid(nodename)}

    def get_nodenames_by_uuid(self, refresh: bool = False) -> dict[str, str]:  # noqa: ARG002
        """See get_available_resource."""
        return {node_uuid(name): name for name in self.get_available_nodes()}


def node_uuid(name: str) -> str:
    """Return the uuid of a node."""
    return str(uuid.uuid5(uuid.NAMESPACE_DNS, name))


def _controlled(name: str, method: Any) -> Any:
    def call(self: ControlledDriver, *args: Any, **kwargs: Any) -> Any:
        control.apply_control(name, *args, *kwargs.values())
        try:
            return method(self, *args, **kwargs)
        finally:
            self.save_guests()

    return call


for _name in METHODS:
    setattr(ControlledDriver, _name, _controlled(_name, getattr(fake.FakeDriver, _name)))
