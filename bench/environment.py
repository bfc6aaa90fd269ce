"""The peers' own virtual environment, from locked versions."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import sys
from pathlib import Path

_HERE = Path(__file__).parent
_LOCK = _HERE / "peers" / "requirements.lock"


def peers_python(state: Path) -> Path:
    """Make the environment under `state` unless it exists, and return its Python.

    Raises:
        RuntimeError: the packages can't be installed; the text ends with pip's output.

    """
    folder = state / "peers"
    python = folder / "bin" / "python"
    stamp = folder / "lock.sha256"
    wanted = hashlib.sha256(_LOCK.read_bytes()).hexdigest()
    if stamp.exists() and stamp.read_text() == wanted:
        return python
    shutil.rmtree(folder, ignore_errors=True)
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    print(f"# installing the peers into {folder}", file=sys.stderr)
    done = subprocess.run(
        [
            python, "-m", "pip", "install", "-q", "--disable-pip-version-check",
            "--require-hashes", "--only-binary=:all:", "-r", _LOCK,
        ],
        check=False,
        capture_output=True,
        text=True,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"The peers cannot be installed; check the network and pip's index.\n{done.stderr[-1500:]}")
    stamp.write_text(wanted)
    return python


def versions() -> dict[str, str]:
    """Return the locked versions of the peers that the figures name."""
    named = {"aiokafka", "asyncpg", "quixstreams", "oslo-messaging", "uvloop", "confluent-kafka", "fastavro"}
    pins = re.findall(r"^([\w-]+)==([^ ]+)", _LOCK.read_text(), re.MULTILINE)
    return {name: version for name, version in pins if name in named}
