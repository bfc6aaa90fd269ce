"""Start one of Nova's services as its command does, with the other services' clients replaced.

Usage: python -m novaservices.serve nova-compute|nova-conductor|nova-scheduler --config-file …
"""

from __future__ import annotations

import importlib
import os
import pathlib
import sys
from typing import Any

IMAGES = "STUMBLE_TEST_IMAGES"
"""Environment variable with the folder of images that all processes share."""


def main() -> int | None:
    """Load the command first (it chooses green or native threads), replace clients, run it."""
    binary = sys.argv.pop(1)
    sys.argv[0] = binary
    command = importlib.import_module(f"nova.cmd.{binary.removeprefix('nova-')}")
    from nova import config

    parse_args = config.parse_args

    def parse_and_replace(*args: Any, **kwargs: Any) -> None:
        parse_args(*args, **kwargs)  # first: Nova's managers read the intervals of their tasks when they are loaded
        replace(binary)

    config.parse_args = parse_and_replace
    return command.main()


def replace(binary: str) -> None:
    """Replace the other services' clients, and on a compute the hypervisor."""
    from novaservices import control, stubs

    stubs.install(pathlib.Path(os.environ[IMAGES]))
    if binary == "nova-compute":
        from nova.compute import manager
        from nova.virt import fake

        from novaservices import driver

        fake.ControlledDriver = driver.ControlledDriver  # nova.conf can only name drivers of Nova's own package
        manager.ComputeManager._prep_resize = control.controlled("prep_resize", manager.ComputeManager._prep_resize)


if __name__ == "__main__":
    raise SystemExit(main())
