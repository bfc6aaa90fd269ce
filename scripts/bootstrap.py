"""Make .venv with the locked libraries: ``python3 scripts/bootstrap.py [local|dev]``.

It does nothing if .venv is current. Standard library only, and compatible with Python 3.6: its first task is to report
what is wrong with the Python that runs it.
pip's own settings (PIP_* variables, pip.conf, proxies, certificates) apply. pip installs only files whose SHA-256 is in
the lock files, and only wheels: a build of a source distribution would fetch build tools that are not locked.
"""

import errno
import fcntl
import hashlib
import os
import re
import select
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
LOG = ROOT / ".cache" / "bootstrap.log"
SUPPORTED = ((3, 13), (3, 12), (3, 11))
#: The targets that contain each target: a .venv for `dev` is also one for `local`.
CONTAINS = {"local": ("local", "dev"), "dev": ("dev",)}
#: The lock files of each target.
LOCKS = {"local": ("requirements/local.txt", "requirements/build.txt"), "dev": ("constraints.txt",)}
#: Options of pip with which it installs nothing but the files that are named in a lock file.
LOCKED_FILES_ONLY = ("--require-hashes", "--only-binary=:all:")
#: Megabytes for each target: what pip fetches, and the free disk space that .venv and pip's temporary files need.
FETCHED = {"local": 90, "dev": 210}
DISK_SPACE = {"local": 600, "dev": 1200}
#: Targets of make that start no PostgreSQL.
WITHOUT_POSTGRES = {"docs", "format", "lint", "test-unit", "wheel"}
GUARD = ROOT / "deploy" / "stumble" / "local" / "guard.py"
REPORT_EVERY = 15.0  # seconds between two lines about one download where the output is no terminal
UNREACHABLE = re.compile(
    r"NewConnectionError|ConnectTimeout|NameResolutionError|name resolution|ProxyError|Connection refused"
    r"|Read timed out|ReadTimeoutError|No route to host|Network is unreachable|Tunnel connection failed"
)
#: What pip writes about a file whose hash is not in the lock file; the next line names it.
WRONG_HASH = re.compile(r"DO NOT MATCH THE HASHES.*\n\s*(\S+)(?: from (\S+?))?(?::\n| \()")


class Unable(Exception):
    """The environment can't be made; the text is one sentence with the command that helps."""


def say(text):
    """Print a line."""
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
    """Return an interpreter for .venv: this one if it's supported, else one on the PATH."""
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
    """Return the stamp of a current .venv: the target and a hash of the files that .venv is made from."""
    digest = hashlib.sha256()
    for name in ("pyproject.toml", *LOCKS[target]):
        digest.update((ROOT / name).read_bytes())
    return "{} {}".format(target, digest.hexdigest())


def is_current(target):
    """Whether .venv contains what `target` needs, made from the current files."""
    try:
        stamp = (VENV / "stumble.stamp").read_text()
    except OSError:
        return False
    return stamp in [wanted(name) for name in CONTAINS[target]] and (VENV / "bin" / "stumble").exists()


def make_venv(python):
    """Create .venv, unless a usable one exists."""
    if version_of(VENV / "bin" / "python") in SUPPORTED and (VENV / "bin" / "pip").exists():
        return
    check = "import venv, ensurepip"
    if subprocess.run([python, "-c", check], stderr=subprocess.DEVNULL).returncode:
        raise Unable(
            "this Python has no venv or no ensurepip; install them with: sudo apt-get install python{}.{}-venv "
            "(Fedora: sudo dnf install python3-pip)".format(*version_of(python))
        )
    say("Making .venv with Python {}.{}".format(*version_of(python)))
    run([python, "-m", "venv", "--clear", str(VENV)], "python -m venv")


def check_folder(target):
    """Raise Unable, before anything is fetched, if this checkout's folder is not usable for `target`."""
    free = shutil.disk_usage(str(ROOT)).free // 10**6
    if free < DISK_SPACE[target] and not VENV.exists():
        raise Unable(
            "the disk of {} has {} MB free and .venv needs {} MB; free some space there, or clone stumble into "
            "another folder".format(ROOT, free, DISK_SPACE[target])
        )
    external = os.environ.get("STUMBLE_DATABASE_URL") or os.environ.get("STUMBLE_MAKE_TARGET") in WITHOUT_POSTGRES
    if os.geteuid() == 0 and not external:
        command = [sys.executable, "-I", "-S", str(GUARD), "check", "nobody", str(ROOT)]
        check = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        if check.returncode:
            raise Unable(check.stderr.decode(errors="replace").strip())


def install(target):
    """Install the locked libraries, then stumble itself from its source folders."""
    pip = [str(VENV / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "install"]
    say(
        "Fetching the libraries: about {} MB unless pip has cached them, one or two minutes (pip's output: {})".format(
            FETCHED[target], LOG.relative_to(ROOT)
        )
    )
    locks = [part for name in LOCKS[target] for part in ("--requirement", str(ROOT / name))]
    run([*pip, *LOCKED_FILES_ONLY, *locks], "pip install")
    run([*pip, "--no-index", "--no-deps", "--no-build-isolation", "--editable", str(ROOT)], "pip install --editable")


def run(command, name):
    """Run a command and show its progress; raise Unable with one sentence if it fails."""
    begin = LOG.stat().st_size
    if run_with_progress(command, LOG, sys.stdout):
        raise Unable(reason(LOG.read_bytes()[begin:].decode(errors="replace"), name))


def run_with_progress(command, log, stream):
    """Run a pip or venv command; append its output to `log`, show its progress on `stream`, return its exit status."""
    environment = dict(os.environ, PYTHONUNBUFFERED="1")
    environment.setdefault("PIP_RETRIES", "2")
    progress = Progress(stream)
    with log.open("ab", buffering=0) as output:
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment, cwd=str(ROOT)
        )
        try:
            for line in lines_of(process.stdout):
                output.write(line)
                progress.show(line.decode(errors="replace"))
        except KeyboardInterrupt:  # the terminal has sent it to the command too, which removes its temporary files
            end_by_itself(process)
            raise
        except BaseException:
            process.terminate()
            raise
        finally:
            process.wait()
            progress.end()
    return process.returncode


def end_by_itself(process):
    """Give a command ten seconds to end by itself before it is terminated."""
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.terminate()


def lines_of(pipe):
    """Yield each line that arrives on `pipe`, as bytes, and an empty one for each second without any."""
    rest = b""
    while True:
        if not select.select([pipe], [], [], 1.0)[0]:
            yield b""
            continue
        block = os.read(pipe.fileno(), 65536)
        if not block:
            break
        lines = (rest + block).splitlines(keepends=True)
        rest = lines.pop() if not lines[-1].endswith(b"\n") else b""
        for line in lines:
            yield line
    if rest:
        yield rest


class Progress:
    """Shows pip's progress: on a terminal in one line that is rewritten, else in a line for each long step."""

    def __init__(self, stream):
        self.stream, self.terminal = stream, stream.isatty()
        self.started = self.reported = time.monotonic()
        self.megabytes = 0.0
        self.step = ""

    def show(self, line):
        """Show a line of pip's output; an empty line only updates the elapsed time."""
        parts = line.split()
        if parts and parts[0] in {"Collecting", "Downloading", "Installing", "Building"}:
            size = re.search(r"\(([0-9.]+) ([kM])B\)", line)
            self.megabytes += float(size.group(1)) / (1000 if size.group(2) == "k" else 1) if size else 0
            self.step = " ".join(parts)
            if not self.terminal and size and size.group(2) == "M":
                self.report(self.step)
        seconds = int(time.monotonic() - self.started)
        if self.terminal and self.step:
            text = "  {} s, {:.0f} MB: {}".format(seconds, self.megabytes, self.step)
            self.stream.write("\r\033[K" + text[: shutil.get_terminal_size().columns - 1])
            self.stream.flush()
        elif self.step and time.monotonic() - self.reported > REPORT_EVERY:
            self.report("{} s: {}".format(seconds, self.step if len(self.step) < 100 else self.step[:97] + "..."))

    def report(self, text):
        """Write one line."""
        self.reported = time.monotonic()
        self.stream.write("  {}\n".format(text))
        self.stream.flush()

    def end(self):
        """Clear the rewritten line."""
        if self.terminal:
            self.stream.write("\r\033[K")
            self.stream.flush()


def reason(output, name):
    """Return one sentence that explains a failure of pip or venv."""
    wrong_hash = WRONG_HASH.search(output)
    if wrong_hash:
        return explain_wrong_hash(wrong_hash)
    if "CERTIFICATE_VERIFY_FAILED" in output:
        return "the package index's certificate is not trusted here; name your CA file: PIP_CERT=/path/ca.pem make run"
    if "No space left on device" in output:
        return "the disk is full; free about 1 GB in {} and in the folder of temporary files, {}, and try again".format(
            ROOT,
            os.environ.get("TMPDIR", "/tmp"),  # noqa: S108  # pip's default
        )
    if UNREACHABLE.search(output):
        return (
            "cannot reach the package index; name a proxy or a mirror and try again: "
            "HTTPS_PROXY=http://proxy:port make run, or PIP_INDEX_URL=https://mirror/simple make run"
        )
    errors = [line for line in output.splitlines() if line.startswith(("ERROR", "Error", "error"))]
    last = (errors or output.splitlines() or ["no output"])[0 if errors else -1]
    return "{} failed: {} (whole output: {})".format(name, last.strip(), LOG)


def explain_wrong_hash(match):
    """Return one sentence about the file that a match of WRONG_HASH names."""
    requirement, address = match.groups()
    return (
        "the SHA-256 of {} is not in the lock file, so it was not installed; if a mirror or a proxy is in use, "
        "try again without it; if not, do not change the lock file but report this as SECURITY.md describes".format(
            "{} from {}".format(requirement, address) if address else requirement
        )
    )


def main():
    """Make .venv ready for `local` (make run) or `dev` (make test)."""
    target = sys.argv[1] if len(sys.argv) > 1 else "local"
    if target not in CONTAINS:
        raise SystemExit("usage: bootstrap.py [{}]".format("|".join(CONTAINS)))
    if is_current(target):
        return
    check_folder(target)
    LOG.parent.mkdir(exist_ok=True)
    with (LOG.parent / "bootstrap.lock").open("w") as lock:
        wait_for(lock)
        if is_current(target):
            return
        LOG.write_text("")
        make_venv(find_python())
        install(target)
        (VENV / "stumble.stamp").write_text(wanted(target))
        say(".venv is ready")


def wait_for(lock):
    """Lock a file; if another `make` in this checkout holds the lock, print that and wait."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        say("Another make installs the libraries in this checkout; waiting for it (its output: {})".format(LOG))
        fcntl.flock(lock, fcntl.LOCK_EX)


def explain(error):
    """Return one sentence that explains an error of the file system."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "the disk of {} is full; free about 1 GB and try again".format(ROOT)
    return "{} ({}); work in a clone that this user owns and may write to".format(error.strerror, error.filename)


if __name__ == "__main__":
    try:
        main()
    except Unable as unable:
        sys.stderr.write("stumble: {}\n".format(unable))
        sys.exit(1)
    except OSError as failure:
        sys.stderr.write("stumble: {}\n".format(explain(failure)))
        sys.exit(1)
    except KeyboardInterrupt:
        sys.stderr.write("\nstumble: stopped; run the same command again to continue\n")
        sys.exit(130)
