"""Errors of scripts/bootstrap.py: one sentence each, with the command that fixes the problem."""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import io
import os
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import time
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from tests.support.command import running
from tests.support.services import ROOT
from tests.support.serving import serving

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


@pytest.fixture
def bootstrap(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("bootstrap", ROOT / "scripts" / "bootstrap.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "VENV", tmp_path / ".venv")
    monkeypatch.setattr(module, "LOG", tmp_path / "log")
    return module


def test_unsupported_python_is_refused(bootstrap: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bootstrap.sys, "version_info", (3, 10, 13))
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setenv("STUMBLE_MAKE_TARGET", "test")
    with pytest.raises(bootstrap.Unable, match=r"this one is 3\.10; install one .*: make PYTHON=python3\.11 test"):
        bootstrap.find_python()


def test_supported_python_on_the_path_is_used(
    bootstrap: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    name = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    (tmp_path / name).symlink_to(sys.executable)
    monkeypatch.setattr(bootstrap.sys, "version_info", (3, 14, 0))
    monkeypatch.setenv("PATH", str(tmp_path))
    assert bootstrap.find_python() == str(tmp_path / name)


def test_python_without_ensurepip_names_the_package_to_install(bootstrap: ModuleType, tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\ncase "$2" in *ensurepip*) exit 1;; esac\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    with pytest.raises(bootstrap.Unable, match=r"sudo apt-get install python3\.\d+-venv"):
        bootstrap.make_venv(str(python))


@pytest.mark.parametrize(
    ("output", "words"),
    [
        (
            "WARNING: Retrying ... ProxyError('Cannot connect to proxy.')\nERROR: No matching distribution",
            "HTTPS_PROXY=",
        ),
        ("NewConnectionError: [Errno -3] Temporary failure in name resolution", "PIP_INDEX_URL="),
        ("SSLError(SSLCertVerificationError(1, '[SSL: CERTIFICATE_VERIFY_FAILED]", "PIP_CERT="),
        ("OSError: [Errno 28] No space left on device", "free about 1 GB"),
        (
            "ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM …\n    six==1.16.0 from https://mirror/six.whl:\n Got",
            "the SHA-256 of six==1.16.0 from https://mirror/six.whl is not in the lock file",
        ),
        ("Collecting x\nERROR: something of its own\nhint: y", "something of its own"),
    ],
)
def test_pip_failure_is_explained_in_one_sentence(bootstrap: ModuleType, output: str, words: str) -> None:
    sentence = bootstrap.reason(output, "pip install")
    assert words in sentence
    assert "\n" not in sentence


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder with those files of a clone that bootstrap.py needs."""
    folder = tmp_path / "clone"
    for name in (
        "pyproject.toml", "constraints.txt", "requirements/local.txt", "requirements/build.txt",
        "scripts/bootstrap.py", "deploy/stumble/local/guard.py",
    ):  # fmt: skip
        (folder / name).parent.mkdir(exist_ok=True, parents=True)
        shutil.copy(ROOT / name, folder / name)
    return folder


def run_bootstrap(checkout: Path, *wrapper: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run bootstrap.py with an unreachable package index."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")}
    offline = {"PIP_INDEX_URL": "http://127.0.0.1:9/simple", "PIP_RETRIES": "1", "PIP_CONFIG_FILE": "/dev/null"}
    return subprocess.run(
        [*wrapper, sys.executable, "scripts/bootstrap.py"],
        cwd=checkout, env=inherited | offline | environment, capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.mark.slow
def test_unreachable_package_index_ends_with_one_sentence(checkout: Path) -> None:
    done = run_bootstrap(checkout)
    assert done.returncode == 1
    assert done.stderr.startswith("stumble: cannot reach the package index; ")
    assert done.stderr.count("\n") == 1
    assert not (checkout / ".venv" / "stumble.stamp").exists()


class PackageIndex(ThreadingHTTPServer):
    """A package index with two files of `thing` 1.0 on loopback: a wheel, and a source distribution."""

    def __init__(self, built: Path) -> None:
        """The build of the source distribution creates the file `built`."""
        super().__init__(("127.0.0.1", 0), PackageIndexHandler)
        wheel, source = io.BytesIO(), io.BytesIO()
        with zipfile.ZipFile(wheel, "w") as archive:
            info = "thing-1.0.dist-info"
            archive.writestr("thing.py", "")
            archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: thing\nVersion: 1.0\n")
            archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
            archive.writestr(f"{info}/RECORD", f"thing.py,,\n{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n")
        with tarfile.open(fileobj=source, mode="w:gz") as archive:
            for name, text in {
                "pyproject.toml": '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n',
                "backend.py": f"open({str(built)!r}, 'w').close()\n",
            }.items():
                header = tarfile.TarInfo(f"thing-1.0/{name}")
                header.size = len(text)
                archive.addfile(header, io.BytesIO(text.encode()))
        self.files = {"thing-1.0-py3-none-any.whl": wheel.getvalue(), "thing-1.0.tar.gz": source.getvalue()}

    def sha256(self, suffix: str) -> str:
        return hashlib.sha256(next(data for name, data in self.files.items() if name.endswith(suffix))).hexdigest()


class PackageIndexHandler(BaseHTTPRequestHandler):
    server: PackageIndex

    def do_GET(self) -> None:
        name = self.path.rpartition("/")[2]
        page = "".join(f'<a href="/files/{file}">{file}</a>' for file in self.server.files).encode()
        body = self.server.files.get(name, page)
        self.send_response(200)
        self.send_header("Content-Type", "text/html" if body is page else "application/octet-stream")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def package_index(tmp_path: Path) -> Iterator[PackageIndex]:
    server = PackageIndex(tmp_path / "built")
    with serving(server):
        yield server


def bootstrap_with_lock(checkout: Path, index: PackageIndex, digest: str) -> subprocess.CompletedProcess[str]:
    """Run bootstrap.py with a lock file that has `thing` 1.0 with this SHA-256 only."""
    (checkout / "requirements" / "local.txt").write_text(f"thing==1.0 --hash=sha256:{digest}\n")
    (checkout / "requirements" / "build.txt").write_text("")
    url = f"http://127.0.0.1:{index.server_port}/simple"
    return run_bootstrap(checkout, PIP_INDEX_URL=url, PIP_NO_CACHE_DIR="1", STUMBLE_MAKE_TARGET="wheel")


@pytest.mark.slow
def test_file_with_another_hash_is_refused_in_one_sentence(checkout: Path, package_index: PackageIndex) -> None:
    done = bootstrap_with_lock(checkout, package_index, "0" * 64)
    assert done.returncode == 1
    assert done.stderr.startswith("stumble: the SHA-256 of thing==1.0 from http://127.0.0.1:")
    assert "is not in the lock file, so it was not installed; " in done.stderr
    assert done.stderr.count("\n") == 1
    assert list((checkout / ".venv").rglob("thing.py")) == []


@pytest.mark.slow
def test_source_distribution_is_not_built_even_with_the_locked_hash(
    checkout: Path, package_index: PackageIndex, tmp_path: Path
) -> None:
    digest = package_index.sha256(".tar.gz")
    del package_index.files["thing-1.0-py3-none-any.whl"]
    done = bootstrap_with_lock(checkout, package_index, digest)
    assert done.returncode == 1
    assert "thing==1.0" in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "built").exists()


@pytest.mark.slow
def test_file_with_the_locked_hash_is_installed(checkout: Path, package_index: PackageIndex) -> None:
    done = bootstrap_with_lock(checkout, package_index, package_index.sha256(".whl"))
    assert [path.name for path in (checkout / ".venv").rglob("thing.py")] == ["thing.py"]
    assert "pip install --editable failed" in done.stderr  # this lock has no build tools


@needs_root
def test_root_is_refused_before_downloads_if_postgres_cannot_reach_the_folder(checkout: Path) -> None:
    done = run_bootstrap(checkout, "setpriv", "--bounding-set", "-dac_override")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        f"stumble: PostgreSQL refuses to run as root, and as the user nobody it cannot reach {checkout}; work as "
        "another user than root, or in a folder that every user may enter, such as /opt/stumble\n"
    )
    assert not (checkout / ".venv").exists()


@needs_root
@pytest.mark.slow
@pytest.mark.parametrize("exempt", [{"STUMBLE_MAKE_TARGET": "lint"}, {"STUMBLE_DATABASE_URL": "postgresql://db/x"}])
def test_root_is_not_refused_if_no_postgres_is_started(checkout: Path, exempt: dict[str, str]) -> None:
    done = run_bootstrap(checkout, "setpriv", "--bounding-set", "-dac_override", **exempt)
    assert done.stderr.startswith("stumble: cannot reach the package index; ")


@needs_root
def test_disk_with_too_little_space_is_refused_before_downloads(checkout: Path, tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    mount = 'mount -t tmpfs -o size=20m none "$0" && cp -r . "$0" && cd "$0" && shift && exec "$@"'
    done = run_bootstrap(checkout, "unshare", "--mount", "sh", "-c", mount, str(small), "")
    assert (done.returncode, done.stdout) == (1, "")
    assert re.fullmatch(
        rf"stumble: the disk of {small} has [12]\d MB free and .venv needs 600 MB; free some space there, "
        "or clone stumble into another folder\n",
        done.stderr,
    )


@pytest.mark.slow
def test_disk_that_becomes_full_ends_with_one_sentence(checkout: Path) -> None:
    (checkout / ".cache").mkdir()
    (checkout / ".cache" / "bootstrap.log").symlink_to("/dev/full")
    done = run_bootstrap(checkout)
    assert done.stderr == f"stumble: the disk of {checkout} is full; free about 1 GB and try again\n"
    assert done.returncode == 1


def test_second_make_waits_for_the_first_with_a_message(checkout: Path) -> None:
    (checkout / ".cache").mkdir()
    with (checkout / ".cache" / "bootstrap.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with running([sys.executable, "scripts/bootstrap.py"], cwd=checkout, stdout=subprocess.PIPE) as second:
            assert second.stdout
            assert second.stdout.readline().startswith("Another make installs the libraries in this checkout; waiting")


def test_progress_is_printed_during_a_long_download(
    bootstrap: ModuleType, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr(bootstrap, "time", SimpleNamespace(monotonic=lambda: now[0]))
    progress = bootstrap.Progress(sys.stdout)
    progress.show("  Downloading big-1.whl (35.4 MB)\n")
    for now[0] in range(1, 40):
        progress.show("")
    progress.show("  Downloading small-1.whl (20 kB)\n")
    assert capsys.readouterr().out == (
        "  Downloading big-1.whl (35.4 MB)\n"
        "  16 s: Downloading big-1.whl (35.4 MB)\n"
        "  32 s: Downloading big-1.whl (35.4 MB)\n"
    )
    assert progress.megabytes == pytest.approx(35.42)


@pytest.mark.slow
def test_lines_of_a_command_are_complete_and_a_pause_gives_an_empty_line(bootstrap: ModuleType) -> None:
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as pipe:
        lines = bootstrap.lines_of(pipe)
        os.write(writing, b"one\ntw")
        assert next(lines) == b"one\n"
        assert next(lines) == b"", "nothing more arrives"
        os.write(writing, b"o\nrest")
        os.close(writing)
        assert list(lines) == [b"two\n", b"rest"]


def test_interrupted_command_can_remove_its_temporary_files(tmp_path: Path) -> None:
    """Ctrl-C reaches bootstrap.py and pip; pip removes the files that it has unpacked."""
    pip = (
        "import time\ntry: print('Collecting x', flush=True); time.sleep(60)\n"
        "except KeyboardInterrupt: time.sleep(0.5); open('removed', 'w')"
    )
    start = (
        f"import sys; sys.path.insert(0, {str(ROOT / 'scripts')!r}); import bootstrap; from pathlib import Path\n"
        "bootstrap.ROOT = Path.cwd()\n"
        f"bootstrap.run_with_progress([sys.executable, '-c', {pip!r}], Path('log'), sys.stdout)"
    )
    with running(
        [sys.executable, "-c", start],
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as process:
        while not (tmp_path / "log").exists() or not (tmp_path / "log").stat().st_size:
            assert process.poll() is None
            time.sleep(0.05)
        os.killpg(process.pid, signal.SIGINT)
        process.wait(30)
    assert (tmp_path / "removed").exists()
