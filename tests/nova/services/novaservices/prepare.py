"""Create the databases of a cloud with one cell: ``python -m novaservices.prepare CELL0_URL HOST… -- OPTIONS``.

Does the same as nova-manage's ``api_db sync``, ``cell_v2 map_cell0``, ``cell_v2 create_cell``, ``db sync`` and
``cell_v2 discover_hosts``, in one process.
"""

from __future__ import annotations

import sys

from nova import config, context, objects
from nova.conf import CONF
from nova.db import migration


def main() -> None:
    """Read nova.conf, create the schemas, map the cells and hosts, add two flavors."""
    separator = sys.argv.index("--")
    (cell0, *hosts), options = sys.argv[1:separator], sys.argv[separator + 1 :]
    config.parse_args(["nova-manage", *options])
    objects.register_all()
    migration.db_sync(database="api")
    admin = context.get_admin_context()
    for name, uuid, bus, database in (
        ("cell0", objects.CellMapping.CELL0_UUID, "none:///", cell0),
        ("cell1", "c0000000-0000-4000-8000-000000000001", CONF.transport_url, CONF.database.connection),
    ):
        cell = objects.CellMapping(admin, name=name, uuid=uuid, transport_url=bus, database_connection=database)
        cell.disabled = False
        cell.create()
        with context.target_cell(admin, cell) as cell_context:
            migration.db_sync(context=cell_context)
    for host in hosts:
        objects.HostMapping(admin, host=host, cell_mapping=cell).create()
    for number in (1, 2):
        flavor = {"vcpus": 1, "memory_mb": 512, "root_gb": number, "ephemeral_gb": 0, "swap": 0, "rxtx_factor": 1.0}
        identity = {"flavorid": str(number), "name": f"m{number}", "is_public": True, "disabled": False}
        objects.Flavor(admin, **flavor, **identity).create()


if __name__ == "__main__":
    main()
