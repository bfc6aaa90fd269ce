"""Print the exception classes of an installed Nova as JSON: class -> [base, code, ...].

Run it with the Python of an environment that holds Nova:
    .venv-nova-33.0.2/bin/python scripts/nova_classes.py > schemas/stumble/schemas/wire/taxonomy/nova_classes.json
"""

import importlib
import inspect
import json
import pkgutil
import sys

import nova
from nova import exception

#: Packages whose import needs a hypervisor, a test bed or a configuration.
LEFT_OUT = ("nova.tests", "nova.cmd", "nova.wsgi", "nova.db.main.migrations", "nova.db.api.migrations")


def classes() -> dict[str, list[str | int]]:
    """Return every subclass of NovaException that can be imported, with its base's name and its HTTP-like code."""
    for module in pkgutil.walk_packages(nova.__path__, "nova.", onerror=str):
        if module.name.startswith(LEFT_OUT) or not ("exception" in module.name or module.name.count(".") <= 2):
            continue
        try:
            importlib.import_module(module.name)
        except BaseException as error:  # noqa: BLE001 - a driver of a hypervisor that isn't here
            print(f"left out {module.name}: {type(error).__name__}", file=sys.stderr)
    found: dict[str, list[str | int]] = {}
    waiting = [exception.NovaException]
    while waiting:
        item = waiting.pop()
        waiting.extend(item.__subclasses__())
        if item.__name__ not in found or item.__module__ == "nova.exception":
            base = next(cls.__name__ for cls in inspect.getmro(item)[1:])
            found[item.__name__] = [base, int(item.code)]
    return dict(sorted(found.items()))


if __name__ == "__main__":
    rows = classes()
    print("{")
    print(",\n".join(f"{json.dumps(name)}: {json.dumps(row)}" for name, row in rows.items()))
    print("}")
