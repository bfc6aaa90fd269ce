"""Make .venv with the locked libraries: ``python3 scripts/bootstrap.py [local|dev]``; done in a blink if it's there.

Standard library only, and readable by any Python 3.6: its first job is to say what's wrong with the Python at hand.
Everything pip is told the usual way (PIP_* variables, pip.conf, proxies, certificates) holds.
"""

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
LOG = ROOT / ".cache" / "bootstrap.log"
CONSTRAINTS = ROOT / "constraints.txt"
SUPPORTED = ((3, 13), (3, 12), (3, 11))
#: What each target needs beside itself: whoever has `dev` has `local`.
CONTAINS = {"local": ("local", "dev"), "dev": ("dev",)}
UNREACHABLE = re.compile(
    r"NewConnectionError|ConnectTimeout|NameResolutionError|name resolution|ProxyError|Connection refused"
    r"|Read timed out|ReadTimeoutError|No route to host|Network is unreachable|Tunnel connection failed"
)


class Unable(Exception):
    """It can't be done; the text is one sentence with the command that mends it."""


def say(text):
    """Tell the operator a line."""
    print(text, flush=True)


def version_of(python):
    """Return (major, minor) of the interpreter at a path, or None if it isn't one."""
    ask = "import sys; print(*sys.version_info[:2])"
    try:
        answer = subprocess.run([str(python), "-c", ask], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=30)
        major, minor = answer.stdout.split()
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
    return int(major), int(minor)


def find_python():
    """Return an interpreter to make .venv with: this one if it's supported, else one that is on the PATH."""
    if sys.version_info[:2] in SUPPORTED:
        return sys.executable
    for major, minor in SUPPORTED:
        found = shutil.which("python{}.{}".format(major, minor))
        if found and version_of(found) == (major, minor):
            return found
    raise Unable(
        "stumble needs Python 3.11, 3.12 or 3.13 and this one is {}.{}; install one "
        "(Debian, Ubuntu: sudo apt-get install python3.11-venv) and name it: make PYTHON=python3.11 {}".format(
            *sys.version_info[:2], os.environ.get("STUMBLE_MAKE_TARGET", "run")
        )
    )


def wanted(target):
    """Return what .venv is made from, as a hash: the stamp of one that's up to date."""
    digest = hashlib.sha256(CONSTRAINTS.read_bytes() + (ROOT / "pyproject.toml").read_bytes())
    return "{} {}".format(target, digest.hexdigest())


def is_current(target):
    """Whether .venv holds what `target` needs, from these very files."""
    try:
        stamp = (VENV / "stumble.stamp").read_text()
    except OSError:
        return False
    return stamp in [wanted(name) for name in CONTAINS[target]] and (VENV / "bin" / "stumble").exists()


def make_venv(python):
    """Create .venv, unless a usable one is there."""
    if version_of(VENV / "bin" / "python") in SUPPORTED and (VENV / "bin" / "pip").exists():
        return
    check = "import venv, ensurepip"
    if subprocess.run([python, "-c", check], stderr=subprocess.DEVNULL).returncode:
        raise Unable(
            "this Python comes without venv or ensurepip; install them with: sudo apt-get install python{}.{}-venv "
            "(Fedora: sudo dnf install python3-pip)".format(*version_of(python))
        )
    say("Making .venv with Python {}.{}".format(*version_of(python)))
    run([python, "-m", "venv", "--clear", str(VENV)], "python -m venv")


def install(target):
    """Install the locked libraries, then stumble itself from its source folders."""
    pip = [str(VENV / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "install"]
    say("Fetching the libraries (the first time: about 90 MB, a minute or two)")
    locked = ["--constraint", str(CONSTRAINTS)]
    requirements = requirements_of(target)
    run([*pip, *locked, "hatchling", "editables", *requirements], "pip install")
    run([*pip, "--no-deps", "--no-build-isolation", "--editable", str(ROOT)], "pip install --editable")


def requirements_of(target):
    """Return the libraries of extra `target` from pyproject.toml, the extras it names included."""
    # .venv's Python has tomllib; the one that runs this may not.
    ask = (
        "import json, tomllib; project = tomllib.load(open('pyproject.toml', 'rb'))['project']; "
        "print(json.dumps([project['dependencies'], project['optional-dependencies']]))"
    )
    answer = subprocess.run(
        [str(VENV / "bin" / "python"), "-c", ask], cwd=str(ROOT), stdout=subprocess.PIPE, check=True
    )
    import json

    base, extras = json.loads(answer.stdout)

    def expand(names):
        for name in names:
            own = re.match(r"stumble\[(.*)\]$", name)
            if own:
                for extra in own.group(1).split(","):
                    yield from expand(extras[extra])
            else:
                yield name

    return sorted(set(base) | set(expand(extras[target])))


def run(command, name):
    """Run a command with its whole output in the log and what it fetches on the terminal."""
    live = sys.stdout.isatty()
    environment = dict(os.environ, PYTHONUNBUFFERED="1")
    environment.setdefault("PIP_RETRIES", "2")
    with LOG.open("a") as log:
        begin = log.tell()
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment, cwd=str(ROOT),
            universal_newlines=True, errors="replace",
        )  # fmt: skip
        for line in process.stdout:
            log.write(line)
            show(line, live)
        if live:
            sys.stdout.write("\r\033[K")
    if process.wait():
        with LOG.open() as log:
            log.seek(begin)
            raise Unable(reason(log.read(), name))


def show(line, live):
    """Show one line of pip's: over the last one on a terminal, else only what takes long."""
    words = line.split()
    if live and words and words[0] in {"Collecting", "Downloading", "Installing", "Building"}:
        width = shutil.get_terminal_size().columns - 1
        sys.stdout.write("\r\033[K" + ("  " + " ".join(words))[:width])
        sys.stdout.flush()
    elif not live and words and words[0] == "Downloading" and " MB" in line:
        say("  " + " ".join(words))


def reason(output, name):
    """Put a failure of pip or venv into one sentence."""
    if "CERTIFICATE_VERIFY_FAILED" in output:
        return "the package index's certificate isn't trusted here; name your CA file: PIP_CERT=/path/ca.pem make run"
    if "No space left on device" in output:
        return "the disk is full; free about 1 GB in {} and try again".format(ROOT)
    if UNREACHABLE.search(output):
        return (
            "the package index can't be reached; name a proxy or a mirror and try again: "
            "HTTPS_PROXY=http://proxy:port make run, or PIP_INDEX_URL=https://mirror/simple make run"
        )
    errors = [line for line in output.splitlines() if line.startswith(("ERROR", "Error", "error"))]
    last = (errors or output.splitlines() or ["it said nothing"])[0 if errors else -1]
    return "{} failed: {} (all of it: {})".format(name, last.strip(), LOG)


def main():
    """Make .venv ready for `local` (make run) or `dev` (make test)."""
    target = sys.argv[1] if len(sys.argv) > 1 else "local"
    if target not in CONTAINS:
        raise SystemExit("usage: bootstrap.py [{}]".format("|".join(CONTAINS)))
    if is_current(target):
        return
    LOG.parent.mkdir(exist_ok=True)
    with (LOG.parent / "bootstrap.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two `make` at once: the second finds it done
        if is_current(target):
            return
        LOG.write_text("")
        make_venv(find_python())
        install(target)
        (VENV / "stumble.stamp").write_text(wanted(target))
        say(".venv is ready")


if __name__ == "__main__":
    try:
        main()
    except Unable as unable:
        sys.stderr.write("stumble: {}\n".format(unable))
        sys.exit(1)
    except KeyboardInterrupt:
        sys.stderr.write("\nstumble: stopped; run it again to go on\n")
        sys.exit(130)
