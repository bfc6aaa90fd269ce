"""The jars of Kafka and of the registry: a lock file names each with its SHA-256; fetched once into a cache.

The content of a jar in the cache is compared with the lock at every start, not only when it is fetched.
"""

from __future__ import annotations

import hashlib
import http.client
import os
import sys
import threading
import time
import urllib.error
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

from stumble.local.errors import LocalError
from stumble.local.maven import MavenSource, local_repository, maven_source

__all__ = ["DownloadProgress", "Jar", "ensure_jars", "locked_jars"]

KAFKA = Path(__file__).with_name("kafka.lock")
_TIMEOUT = 60  # seconds without a byte
_ATTEMPTS = 3
_BLOCK = 1 << 16  # bytes between two reports of progress
_REPORT_EVERY = 10.0  # seconds
_SERVER_ERROR = 500  # and above: another attempt may succeed
_REMEDY = (
    "set https_proxy if this machine needs a proxy, or name a mirror: "
    "STUMBLE_MAVEN_REPOSITORY=https://… make run (a mirror in ~/.m2/settings.xml is used too)"
)

#: Called with (bytes fetched, bytes in total).
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
    """Return the jars that a lock file names."""
    lines = [line.split() for line in lock.read_text().splitlines() if line and not line.startswith("#")]
    return [Jar(digest, int(size), path) for digest, size, path in lines]


def cache_folder() -> Path:
    """Return the folder of fetched jars: below STUMBLE_CACHE_DIR, else XDG_CACHE_HOME, else ~/.cache."""
    base = os.environ.get("STUMBLE_CACHE_DIR")
    if base:
        return Path(base) / "jars"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "stumble" / "jars"


class DownloadProgress:
    """Shows the download on standard error: on a terminal in one line that is rewritten, else in a line every 10 s."""

    def __init__(self) -> None:
        self._written = 0.0

    def __call__(self, done: int, total: int) -> None:
        """Show that `done` of `total` bytes are fetched."""
        text, now = f"Fetching Kafka: {done / 1e6:5.1f} of {total / 1e6:.1f} MB", time.monotonic()
        terminal = sys.stderr.isatty()
        if done in {0, total} or now - self._written > (0.1 if terminal else _REPORT_EVERY):
            self._written = now
            sys.stderr.write(f"\r{text}" + ("\n" if done == total else "") if terminal else f"{text}\n")
            sys.stderr.flush()


def ensure_jars(progress: Progress | None = None, lock: Path = KAFKA) -> list[Path]:
    """Return the paths of all jars of a lock file, each with the locked SHA-256; fetch what's missing or different.

    Several processes may do so at the same time: a jar gets its name only when it's complete. Raises LocalError
    when the repository can't be reached or serves another file, and when the cache can't be written.
    """
    folder = cache_folder()
    jars = locked_jars(lock)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        missing = [jar for jar in jars if not _is_cached(folder / jar.name, jar)]
        if missing:
            _fetch_all(missing, folder, _FetchedBytes(progress, sum(jar.size for jar in missing)))
    except OSError as error:
        raise LocalError(
            f"cannot write Kafka's jars to {folder} ({error.strerror}); free about 150 MB there, "
            "or name another folder: STUMBLE_CACHE_DIR=…"
        ) from error
    return [folder / jar.name for jar in jars]


class _FetchedBytes:
    """The bytes that several threads have fetched, reported at each addition."""

    def __init__(self, progress: Progress | None, total: int) -> None:
        self._report = progress or (lambda _done, _total: None)
        self._done, self._total = 0, total
        self._lock = threading.Lock()
        self.add(0)

    def add(self, count: int) -> None:
        """Add `count` bytes; a negative number subtracts those of a download that failed."""
        with self._lock:
            self._done += count
            self._report(self._done, self._total)


def _is_cached(path: Path, jar: Jar) -> bool:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == jar.sha256
    except FileNotFoundError:
        return False


def _fetch_all(missing: list[Jar], folder: Path, fetched: _FetchedBytes) -> None:
    source = maven_source()
    with ThreadPoolExecutor(6) as pool:
        running = [pool.submit(_fetch, jar, folder, source, fetched) for jar in missing]
        try:
            for future in as_completed(running):
                future.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _fetch(jar: Jar, folder: Path, source: MavenSource, fetched: _FetchedBytes) -> None:
    data = _from_local_repository(jar)
    if data is not None:
        fetched.add(jar.size)
    else:
        data = _download(jar, source, fetched)
    if hashlib.sha256(data).hexdigest() != jar.sha256:
        raise LocalError(f"{source.url}/{jar.path} is not the locked jar (its SHA-256 differs); {_REMEDY}")
    partial = folder / f"{jar.name}.{os.getpid()}"
    try:
        partial.write_bytes(data)
        partial.replace(folder / jar.name)
    finally:
        partial.unlink(missing_ok=True)


def _from_local_repository(jar: Jar) -> bytes | None:
    try:
        data = (local_repository() / jar.path).read_bytes()
    except OSError:
        return None
    return data if hashlib.sha256(data).hexdigest() == jar.sha256 else None


def _download(jar: Jar, source: MavenSource, fetched: _FetchedBytes) -> bytes:
    address = f"{source.url}/{jar.path}"
    for attempt in range(1, _ATTEMPTS + 1):
        data = bytearray()
        try:
            with source.open(jar.path, timeout=_TIMEOUT) as reply:
                # One byte more than the jar has is enough to know that it is another file.
                while len(data) <= jar.size and (block := reply.read(_BLOCK)):
                    data += block
                    fetched.add(len(block))
            if len(data) < jar.size:
                raise ConnectionError(f"the connection ended after {len(data)} of {jar.size} bytes")
            return bytes(data)
        except (OSError, http.client.HTTPException) as error:
            fetched.add(-len(data))
            # Another attempt helps after a broken connection, not after a refused or missing file.
            refused, why = False, getattr(error, "reason", error)
            if isinstance(error, urllib.error.HTTPError):
                refused, why = error.code < _SERVER_ERROR, str(error)
                error.close()
            if refused or attempt == _ATTEMPTS:
                raise LocalError(f"cannot fetch {jar.name} from {address} ({why}); {_REMEDY}") from error
    raise AssertionError
