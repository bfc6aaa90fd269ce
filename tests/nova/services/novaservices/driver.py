"""Nova's fake virt driver, with guests that outlive the process and methods under control."""

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
    *("check_can_live_migrate_destination", "post_live_migration_at_destination"),
)


class ControlledDriver(fake.FakeDriver):
    """One hypervisor: what runs on it is kept in the file `guests.json` of the control folder."""

    def __init__(self, virtapi: Any, read_only: bool = False):
        super().__init__(virtapi, read_only)
        self._file = pathlib.Path(os.environ[control.FOLDER]) / "guests.json"
        self._keeping = threading.Lock()

    def init_host(self, host: str) -> None:
        """Find the guests that a process before this one left running."""
        super().init_host(host)
        if self._file.exists():
            for guest, (name, state) in json.loads(self._file.read_text()).items():
                self.instances[guest] = fake.FakeInstance(name, state, guest)

    def keep(self) -> None:
        """Write down what runs; calls that end at the same time do so one after the other."""
        with self._keeping:
            guests = {guest: (found.name, found.state) for guest, found in list(self.instances.items())}
            fresh = self._file.with_suffix(".new")
            fresh.write_text(json.dumps(guests))
            fresh.replace(self._file)

    def get_available_resource(self, nodename: str) -> dict[str, Any]:
        """Give the node the same uuid in every process (the base class makes one up)."""
        found = super().get_available_resource(nodename)
        return found and {**found, "uuid": node_uuid(nodename)}

    def get_nodenames_by_uuid(self, refresh: bool = False) -> dict[str, str]:  # noqa: ARG002
        """See get_available_resource."""
        return {node_uuid(name): name for name in self.get_available_nodes()}


def node_uuid(name: str) -> str:
    """Return the uuid of a node."""
    return str(uuid.uuid5(uuid.NAMESPACE_DNS, name))


def _kept(name: str, method: Any) -> Any:
    def call(self: ControlledDriver, *args: Any, **kwargs: Any) -> Any:
        control.obey(name, *args, *kwargs.values())
        try:
            return method(self, *args, **kwargs)
        finally:
            self.keep()

    return call


for _name in METHODS:
    setattr(ControlledDriver, _name, _kept(_name, getattr(fake.FakeDriver, _name)))
