"""Write the lock files: exact versions, each with the SHA-256 of every file that an index may serve for it.

``make lock`` runs it; it needs uv. Lock files for stumble take the newest versions with --upgrade, else the versions
that are locked already. Other lock files always keep their versions: after a change to one, run
``python3 scripts/lock.py FILE``. Hashes are of the files for Linux and the supported versions of Python only.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROJECT = ROOT / "pyproject.toml"
#: Lock files of stumble, and the options of `uv export` that select their libraries.
STUMBLE = {
    "constraints.txt": ["--all-extras"],
    "requirements/driver.txt": [],
    "requirements/cli.txt": ["--extra", "cli"],
    "requirements/relay.txt": ["--extra", "relay"],
    "requirements/bridge.txt": ["--extra", "bridge"],
    "requirements/consumers.txt": ["--extra", "consumers"],
    "requirements/local.txt": ["--extra", "local"],
    "requirements/build.txt": ["--only-group", "build"],
}
#: Where stumble runs. Libraries declare the implementation of Python by either name.
ENVIRONMENT = (
    "sys_platform == 'linux'",
    "implementation_name == 'cpython'",
    "platform_python_implementation == 'CPython'",
)
PEERS = "bench/peers/requirements.lock"
OTHERS = [PEERS, *sorted(str(path.relative_to(ROOT)) for path in (ROOT / "tests/nova/locks").glob("*.txt"))]


def pins(lock: Path) -> list[str]:
    """Return the requirements of a lock file, `name==version` with the marker if it has one, without hashes."""
    return [line.rstrip("\\ ") for line in lock.read_text().splitlines() if re.match(r"\w", line)]


def comments(lock: Path) -> str:
    """Return the comment at the top of a lock file."""
    return "".join(line for line in lock.read_text().splitlines(keepends=True) if line.startswith("#"))


def uv(*arguments: str) -> str:
    """Run uv and return its output; end with uv's own message if it fails."""
    done = subprocess.run(["uv", *arguments], check=False, stdout=subprocess.PIPE, text=True)  # noqa: S607
    if done.returncode:
        raise SystemExit("lock: uv failed, as it says above")
    return done.stdout


def write(project: str, locked: list[str], exports: dict[str, list[str]]) -> None:
    """Resolve a pyproject.toml with these `locked` requirements, and write one lock file for each export."""
    with tempfile.TemporaryDirectory() as folder:
        limits = (
            f"[tool.uv]\nenvironments = {json.dumps([' and '.join(ENVIRONMENT)])}\n"
            f"constraint-dependencies = {json.dumps(locked)}\n"
        )
        (Path(folder) / "pyproject.toml").write_text(f"{project}\n{limits}")
        uv("lock", "--quiet", "--directory", folder)
        plain = ("--quiet", "--frozen", "--no-emit-project", "--no-default-groups", "--no-header", "--no-annotate")
        for name, options in exports.items():
            text = uv("export", "--directory", folder, *plain, *options)
            # Every requirement has this condition. With it, pip would install nothing elsewhere and report success.
            for condition in ENVIRONMENT:
                text = text.replace(f" and {condition}", "").replace(f"; {condition} and ", "; ")
                text = text.replace(f" ; {condition}", "")
            lock = ROOT / name
            lock.parent.mkdir(exist_ok=True)
            lock.write_text((comments(lock) if lock.exists() else "") + text)
            print(f"{name}: {len(pins(lock))} libraries, {lock.stat().st_size // 1000} kB")


def main() -> None:
    """Write the chosen lock files, by default all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", nargs="*", choices=[[], "stumble", *OTHERS], help="stumble, or " + ", ".join(OTHERS))
    parser.add_argument("--upgrade", action="store_true", help="stumble's lock files: take the newest versions")
    arguments = parser.parse_args()
    if shutil.which("uv") is None:
        raise SystemExit("lock: uv is not installed here; install it, for example with: pipx install uv")
    for name in arguments.file or ["stumble", *OTHERS]:
        if name == "stumble":
            write(PROJECT.read_text(), [] if arguments.upgrade else pins(ROOT / "constraints.txt"), STUMBLE)
            continue
        locked = pins(ROOT / name)
        wanted = (ROOT / PEERS).with_suffix(".in").read_text().split() if name == PEERS else locked
        project = {"name": "locked", "version": "0", "requires-python": ">=3.11,<3.14"}
        lines = [f"{key} = {json.dumps(value)}" for key, value in {**project, "dependencies": wanted}.items()]
        write("\n".join(["[project]", *lines]), locked, {name: []})


if __name__ == "__main__":
    main()
