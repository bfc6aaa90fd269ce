"""Make Nova's own virtual environment, `.venv-nova-<version>`, with stumble's base install in it.

It runs in stumble's own environment, which has the build tools. Nova and its libraries come from the lock file
tests/nova/locks/nova-<version>.txt, each checked against its hashes there; stumble comes from a wheel of this checkout,
without extras, and is installed again when the checkout has changed. At the end `pip check` must succeed.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import importlib.util
import os
import re
import sys
import tempfile
import time
from pathlib import Path

from bootstrap import LOCKED_FILES_ONLY, UNREACHABLE, WRONG_HASH, explain_wrong_hash, run_with_progress

ROOT = Path(__file__).resolve().parent.parent
LOCKS = ROOT / "tests" / "nova" / "locks"
ROOTS = ("schemas", "producers", "consumers", "deploy")
#: Libraries that no index has as a wheel. Locked ones build them: setuptools and pbr.
SOURCE_ONLY = ("ovs", "pyperclip", "testresources")
OLDEST, NEWEST = (3, 11), (3, 13)


class EnvError(Exception):
    """The environment can't be made; the text contains the reason and what to do."""


def versions() -> list[str]:
    """Releases of Nova that have a lock file."""
    return sorted(path.stem.removeprefix("nova-") for path in LOCKS.glob("nova-*.txt"))


def say(text: str) -> None:
    """Show progress; standard output is for the path of the environment's Python."""
    print(f"nova: {text}", file=sys.stderr, flush=True)


def new_log(folder: Path) -> Path:
    """Create an empty log file for the commands that make `folder`."""
    log = ROOT / ".cache" / f"{folder.name}.log"
    log.parent.mkdir(exist_ok=True)
    log.write_bytes(b"")
    return log


def run(command: list[str], log: Path) -> None:
    """Run a command with its output in `log`; raise EnvError with the line that explains a failure."""
    if run_with_progress(command, log, sys.stderr):
        raise EnvError(f"{explain(command, log.read_text(errors='replace'))} The whole output is in {log}.")


def explain(command: list[str], output: str) -> str:
    """One sentence for a failed pip or venv command."""
    if wrong_hash := WRONG_HASH.search(output):
        return f"{explain_wrong_hash(wrong_hash)}."
    if UNREACHABLE.search(output) or "(from versions: none)" in output:
        return (
            "Cannot reach the Python package index: set HTTPS_PROXY, or PIP_INDEX_URL to a mirror, "
            "and run make nova again."
        )
    errors = [line for line in output.splitlines() if line.startswith("ERROR")] or output.splitlines()[-1:]
    return f"`{' '.join(command[2:5])} …` failed: {errors[0] if errors else 'no output'}."


def check_python() -> None:
    """Raise EnvError unless this Python can make the environment."""
    if not OLDEST <= sys.version_info[:2] <= NEWEST:
        raise EnvError(
            f"Python {sys.version_info[0]}.{sys.version_info[1]} is not supported: "
            "run make nova PYTHON=python3.11 (3.11, 3.12 or 3.13)."
        )
    for module, remedy in (
        ("venv", "install it with `apt-get install python3-venv`"),
        ("ensurepip", "install it with `apt-get install python3-venv`"),
        ("hatchling", "run this with .venv/bin/python, which `make nova` creates"),
    ):
        if importlib.util.find_spec(module) is None:
            raise EnvError(f"This Python has no {module}: {remedy}.")


def install_nova(version: str, folder: Path) -> None:
    """Create `folder` with the locked Nova, unless it exists already."""
    lock = LOCKS / f"nova-{version}.txt"
    if not lock.exists():
        raise EnvError(f"There is no lock file for Nova {version}: choose one of {', '.join(versions())}.")
    stamp = folder / "nova.stamp"
    if stamp.exists() and stamp.read_bytes() == lock.read_bytes():
        return
    check_python()
    log = new_log(folder)
    say(f"making {folder.name} with Python {sys.version.split()[0]}")
    run([sys.executable, "-m", "venv", "--clear", str(folder)], log)
    requirements = re.split(r"^(?=\w)", lock.read_text(), flags=re.MULTILINE)
    wheels = [item for item in requirements if item.partition("==")[0] not in SOURCE_ONLY]
    say(
        f"fetching Nova {version} and its libraries, {len(requirements) - 1} packages as locked, about 70 MB "
        "(one or two minutes)"
    )
    only_wheels = folder / "wheels.txt"
    only_wheels.write_text("".join(wheels))
    pip(folder, log, "install", *LOCKED_FILES_ONLY, "--no-deps", "--requirement", str(only_wheels))
    locked = ("--require-hashes", "--no-deps", "--requirement", str(lock))
    pip(folder, log, "install", "--no-build-isolation", *locked)
    stamp.write_bytes(lock.read_bytes())
    log.unlink()


def install_stumble(folder: Path) -> None:
    """Install a wheel of this checkout, base dependencies only, unless the same one is installed."""
    stamp = folder / "stumble.stamp"
    now = checkout_hash()
    if stamp.exists() and stamp.read_text() == now:
        return
    stamp.unlink(missing_ok=True)
    log = new_log(folder)
    say("installing stumble's base (the driver)")
    with tempfile.TemporaryDirectory() as wheels:
        build = [
            sys.executable,
            "-m",
            "pip",
            "--disable-pip-version-check",
            "wheel",
            "--no-deps",
            "--no-build-isolation",
        ]
        run([*build, "--no-index", "--wheel-dir", wheels, str(ROOT)], log)
        wheel = next(Path(wheels).glob("*.whl"))
        pip(folder, log, "install", "--no-index", "--no-deps", "--force-reinstall", str(wheel))
    pip(folder, log, "check")
    log.unlink()
    stamp.write_text(now)


def pip(folder: Path, log: Path, *arguments: str) -> None:
    """Run the environment's pip."""
    run([str(folder / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", *arguments], log)


def checkout_hash() -> str:
    """Hash of what the wheel is built from."""
    total = hashlib.sha256((ROOT / "pyproject.toml").read_bytes())
    for root in ROOTS:
        for path in sorted((ROOT / root).rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                total.update(str(path.relative_to(ROOT)).encode() + b"\0" + path.read_bytes())
    return total.hexdigest()


def make(version: str, folder: Path) -> Path:
    """Make or refresh the environment of one Nova release and return its Python."""
    started = time.monotonic()
    (ROOT / ".cache").mkdir(exist_ok=True)
    with (ROOT / ".cache" / f"{folder.name}.lock").open("w") as lock:  # one process at a time
        fcntl.flock(lock, fcntl.LOCK_EX)
        install_nova(version, folder)
        install_stumble(folder)
    if time.monotonic() - started > 1:
        say(f"{folder.name} is ready: pip check is clean")
    return folder / "bin" / "python"


def main() -> int:
    """Command line; exit status 1 and one sentence on failure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nova", default="33.0.2", help="release of Nova: " + ", ".join(versions()))
    parser.add_argument("--venv", type=Path, help="folder of the environment (default .venv-nova-<version>)")
    arguments = parser.parse_args()
    folder = arguments.venv or Path(os.environ.get("STUMBLE_NOVA_VENV") or ROOT / f".venv-nova-{arguments.nova}")
    try:
        print(make(arguments.nova, folder))
    except EnvError as failure:
        print(f"nova: {failure}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("nova: stopped; run it again to continue", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
