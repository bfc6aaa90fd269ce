"""What runs on Java: files named with SHA-256 in a lock file, fetched once into the user's cache."""

from __future__ import annotations

import hashlib
import os
import sys
import urllib.error
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

from stumble.deploy.local.errors import LocalError
from stumble.deploy.local.maven import MavenSource, maven_source

__all__ = ["Jar", "ensure_jars", "locked_jars", "show_progress"]

KAFKA = Path(__file__).with_name("kafka.lock")
_LOCAL_REPOSITORY = Path.home() / ".m2" / "repository"
_TIMEOUT = 60  # seconds without a byte
_ATTEMPTS = 3
_SERVER_ERROR = 500  # and above: may pass
_MENDS = (
    "set https_proxy if this machine needs a proxy, or name a mirror: "
    "STUMBLE_MAVEN_REPOSITORY=https://… make run (a mirror in ~/.m2/settings.xml is used too)"
)

#: Called with (bytes done, bytes in all).
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Jar:
    """One jar of the lock: its SHA-256 (hex), size in bytes and path below a Maven repository."""

    sha256: str
    size: int
    path: str

    @property
    def name(self) -> str:
        """The file's name."""
        return self.path.rpartition("/")[2]


def locked_jars(lock: Path = KAFKA) -> list[Jar]:
    """Return what a lock file names."""
    lines = [line.split() for line in lock.read_text().splitlines() if line and not line.startswith("#")]
    return [Jar(digest, int(size), path) for digest, size, path in lines]


def cache_folder() -> Path:
    """Return the folder of fetched jars: below STUMBLE_CACHE_DIR, else XDG_CACHE_HOME, else ~/.cache."""
    base = os.environ.get("STUMBLE_CACHE_DIR")
    if base:
        return Path(base) / "jars"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "stumble" / "jars"


def show_progress(done: int, total: int) -> None:
    """Draw one line on the terminal; on anything else write only the first and last."""
    text = f"Fetching Kafka: {done / 1e6:5.1f} of {total / 1e6:.1f} MB"
    if sys.stderr.isatty():
        sys.stderr.write(f"\r{text}" + ("\n" if done >= total else ""))
    elif done in {0, total}:
        sys.stderr.write(text + "\n")
    sys.stderr.flush()


def ensure_jars(progress: Progress | None = None, lock: Path = KAFKA) -> list[Path]:
    """Return the paths of all jars of a lock file, fetching what's missing; each is checked against its SHA-256.

    Several processes may do so at once: a jar appears under its name only when it's whole. Raises LocalError
    when the repository can't be reached or serves something else.
    """
    folder = cache_folder()
    folder.mkdir(parents=True, exist_ok=True)
    jars = locked_jars(lock)
    missing = [jar for jar in jars if not _is_there(folder / jar.name, jar)]
    if missing:
        _fetch_all(missing, folder, progress or (lambda _done, _total: None))
    return [folder / jar.name for jar in jars]


def _is_there(path: Path, jar: Jar) -> bool:
    return path.exists() and path.stat().st_size == jar.size


def _fetch_all(missing: list[Jar], folder: Path, progress: Progress) -> None:
    source = maven_source()
    total, done = sum(jar.size for jar in missing), 0
    progress(done, total)
    with ThreadPoolExecutor(6) as pool:
        running = {pool.submit(_fetch, jar, folder, source): jar for jar in missing}
        try:
            for future in as_completed(running):
                future.result()
                done += running[future].size
                progress(done, total)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _fetch(jar: Jar, folder: Path, source: MavenSource) -> None:
    data = _from_local_repository(jar) or _download(jar, source)
    if hashlib.sha256(data).hexdigest() != jar.sha256:
        raise LocalError(f"{source.url}/{jar.path} isn't the jar it should be (its SHA-256 differs); {_MENDS}")
    partial = folder / f"{jar.name}.{os.getpid()}"
    partial.write_bytes(data)
    partial.replace(folder / jar.name)


def _from_local_repository(jar: Jar) -> bytes | None:
    try:
        data = (_LOCAL_REPOSITORY / jar.path).read_bytes()
    except OSError:
        return None
    return data if hashlib.sha256(data).hexdigest() == jar.sha256 else None


def _download(jar: Jar, source: MavenSource) -> bytes:
    address = f"{source.url}/{jar.path}"
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            with source.opener().open(address, timeout=_TIMEOUT) as reply:
                return bytes(reply.read())
        except (OSError, urllib.error.URLError) as error:
            # A refused or missing file stays so; a broken line may not.
            refused, why = False, getattr(error, "reason", error)
            if isinstance(error, urllib.error.HTTPError):
                refused, why = error.code < _SERVER_ERROR, str(error)
                error.close()
            if refused or attempt == _ATTEMPTS:
                raise LocalError(f"{jar.name} can't be fetched from {address} ({why}); {_MENDS}") from error
    raise AssertionError
