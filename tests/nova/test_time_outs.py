"""The options of nova.conf for deadlines exist in an installed Nova, with these defaults."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from stumble.outcome.deadlines import OPTIONS

PRINT_DEFAULTS = """
import json, pathlib, sys
import nova, nova.conf
from oslo_messaging.rpc import client
nova.conf.CONF.register_opts(client._client_opts)
found = {}
for name, file in json.load(sys.stdin).items():
    value = nova.conf.CONF
    for part in name.split("."):
        value = getattr(value, part)
    defined = pathlib.Path(nova.__file__).parent.parent / file
    option = name.rpartition(".")[2]
    named = not file.startswith("nova/") or any(f"{quote}{option}{quote}" in defined.read_text() for quote in "'\\"")
    found[name] = [value, named]
print(json.dumps(found))
"""


def test_nova_has_the_options_for_deadlines_with_these_defaults(nova_python: Path) -> None:
    request = json.dumps({name: file for name, (_, file) in OPTIONS.items()})
    done = subprocess.run(
        [nova_python, "-W", "ignore", "-c", PRINT_DEFAULTS], input=request, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    defaults = json.loads(done.stdout.splitlines()[-1])
    assert defaults == {name: [value, True] for name, (value, _) in OPTIONS.items()}
