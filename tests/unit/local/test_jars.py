"""Downloads of Kafka's jars: mirrors, proxies, credentials; only jars with the right checksum are used."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import os
import re
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import SimpleNamespace

import pytest

from stumble.local import jars
from stumble.local.errors import LocalError
from stumble.local.maven import local_repository, maven_central, maven_source
from tests.support.serving import serving

BODY = b"a jar's bytes"
PATH = "org/example/thing/1/thing-1.jar"


class Repository(HTTPServer):
    """A Maven repository with one jar; it records its requests (path, credentials)."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), RepositoryHandler)
        self.requests: list[tuple[str, str | None]] = []
        self.broken_replies = 0
        self.body = BODY
        self.redirect_to = ""


class RepositoryHandler(BaseHTTPRequestHandler):
    server: Repository

    def do_GET(self) -> None:
        self.server.requests.append((self.path, self.headers.get("Authorization")))
        good = self.path.endswith(PATH)
        body = self.server.body if good else b""
        self.send_response(307 if self.server.redirect_to else 200 if good else 404)
        if self.server.redirect_to:
            self.send_header("Location", self.server.redirect_to + self.path)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        broken = len(self.server.requests) <= self.server.broken_replies
        with contextlib.suppress(ConnectionError):  # the client has seen enough
            self.wfile.write(body[:5] if broken else body)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def repository() -> Iterator[Repository]:
    server = Repository()
    with serving(server):
        yield server


@pytest.fixture
def lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("STUMBLE_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)
    path = tmp_path / "a.lock"
    path.write_text(f"# one\n{hashlib.sha256(BODY).hexdigest()} {len(BODY)} {PATH}\n")
    return path


def use_repository(monkeypatch: pytest.MonkeyPatch, server: Repository) -> str:
    url = f"http://127.0.0.1:{server.server_port}/maven"
    monkeypatch.setenv("STUMBLE_MAVEN_REPOSITORY", url + "/")
    return url


def test_jar_is_downloaded_once(repository: Repository, lock: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use_repository(monkeypatch, repository)
    progress_calls: list[tuple[int, int]] = []
    first = jars.ensure_jars(lambda done, total: progress_calls.append((done, total)), lock)
    assert [path.read_bytes() for path in first] == [BODY]
    assert progress_calls == [(0, len(BODY)), (len(BODY), len(BODY))]
    assert jars.ensure_jars(None, lock) == first
    assert [path for path, _ in repository.requests] == [f"/maven/{PATH}"]


def test_cached_jar_whose_content_changed_is_fetched_again(
    repository: Repository, lock: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_repository(monkeypatch, repository)
    (jar,) = jars.ensure_jars(None, lock)
    times = jar.stat().st_atime_ns, jar.stat().st_mtime_ns
    jar.write_bytes(BODY[::-1])
    os.utime(jar, ns=times)
    assert [path.read_bytes() for path in jars.ensure_jars(None, lock)] == [BODY]
    assert len(repository.requests) == 2


def test_changed_jar_is_an_error_if_no_other_can_be_fetched(
    repository: Repository, lock: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_repository(monkeypatch, repository)
    (jar,) = jars.ensure_jars(None, lock)
    jar.write_bytes(BODY[::-1])
    monkeypatch.setenv("STUMBLE_MAVEN_REPOSITORY", "http://127.0.0.1:9/maven")
    with pytest.raises(LocalError, match=r"cannot fetch thing-1\.jar"):
        jars.ensure_jars(None, lock)


def test_interrupted_download_is_repeated(repository: Repository, lock: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use_repository(monkeypatch, repository)
    repository.broken_replies = 2
    progress_calls: list[int] = []
    assert [path.read_bytes() for path in jars.ensure_jars(lambda done, _: progress_calls.append(done), lock)] == [BODY]
    assert progress_calls == [0, 5, 0, 5, 0, len(BODY)]


def test_unwritable_cache_is_named_in_the_error(
    repository: Repository, lock: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_repository(monkeypatch, repository)
    monkeypatch.setenv("STUMBLE_CACHE_DIR", "/dev/full")
    with pytest.raises(
        LocalError, match=r"cannot write Kafka's jars to /dev/full/jars \(Not a directory\); .*STUMBLE_CACHE_DIR="
    ):
        jars.ensure_jars(None, lock)


def test_progress_without_a_terminal_is_printed_every_few_seconds(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    times = iter((0.0, 1.0, 12.0, 13.0))
    monkeypatch.setattr(jars, "time", SimpleNamespace(monotonic=lambda: next(times)))
    progress = jars.DownloadProgress()
    for done in (0, 10**6, 2 * 10**6, 3 * 10**6):
        progress(done, 3 * 10**6)
    assert re.findall(r"([0-9.]+) of 3.0 MB\n", capsys.readouterr().err) == ["0.0", "2.0", "3.0"]


def test_jar_with_wrong_checksum_is_rejected(
    repository: Repository, lock: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_repository(monkeypatch, repository)
    lock.write_text(f"{'0' * 64} {len(BODY)} {PATH}\n")
    with pytest.raises(LocalError, match="SHA-256 differs"):
        jars.ensure_jars(None, lock)
    assert list((lock.parent / "cache" / "jars").iterdir()) == []


def test_download_ends_after_more_bytes_than_the_jar_has(
    repository: Repository, lock: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_repository(monkeypatch, repository)
    repository.body = bytes(10_000_000)
    fetched: list[int] = []
    with pytest.raises(LocalError, match="SHA-256 differs"):
        jars.ensure_jars(lambda done, _: fetched.append(done), lock)
    assert max(fetched) < 1_000_000


def test_missing_jar_error_names_the_url(repository: Repository, lock: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use_repository(monkeypatch, repository)
    lock.write_text(f"{'0' * 64} 5 org/none.jar\n")
    with pytest.raises(LocalError, match=r"org/none\.jar .*404.*STUMBLE_MAVEN_REPOSITORY="):
        jars.ensure_jars(None, lock)
    assert len(repository.requests) == 1  # a second request can't help


def test_unreachable_repository_error_names_the_settings_to_change(lock: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STUMBLE_MAVEN_REPOSITORY", "http://127.0.0.1:9/maven")
    with pytest.raises(LocalError, match=r"(?s)cannot fetch.*https_proxy.*STUMBLE_MAVEN_REPOSITORY=.*settings\.xml"):
        jars.ensure_jars(None, lock)


def test_local_maven_repository_is_used(lock: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STUMBLE_MAVEN_REPOSITORY", "http://127.0.0.1:9/maven")
    local = local_repository() / PATH
    local.parent.mkdir(parents=True)
    local.write_bytes(BODY)
    assert [path.read_bytes() for path in jars.ensure_jars(None, lock)] == [BODY]


SETTINGS = """<settings xmlns="http://maven.apache.org/SETTINGS/1.2.0">
  <mirrors><mirror><id>m</id><url>{url}</url><mirrorOf>{of}</mirrorOf></mirror></mirrors>
  <servers><server><id>m</id><username>u</username><password>p</password></server></servers>
  <proxies><proxy><host>proxy.example</host><port>3128</port></proxy></proxies>
</settings>"""


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("STUMBLE_MAVEN_REPOSITORY", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    path = tmp_path / ".m2" / "settings.xml"
    path.parent.mkdir(exist_ok=True)
    return path


@pytest.mark.parametrize("of", ["*", "central", "external:*", "other,central"])
def test_mirror_of_maven_settings_is_used(settings: Path, of: str) -> None:
    settings.write_text(SETTINGS.format(url="http://mirror.example/maven/", of=of))
    source = maven_source()
    assert source.url == "http://mirror.example/maven"
    assert source.headers == {"Authorization": "Basic " + base64.b64encode(b"u:p").decode()}
    assert source.proxies["https"] == "http://proxy.example:3128"


@pytest.mark.parametrize("of", ["*,!central", "other"])
def test_mirror_of_another_repository_is_not_used(settings: Path, of: str) -> None:
    settings.write_text(SETTINGS.format(url="http://mirror.example/maven", of=of))
    source = maven_source()
    assert source.url == maven_central()
    assert source.headers == {}


def test_credentials_of_maven_settings_are_sent(
    repository: Repository, lock: Path, settings: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"http://127.0.0.1:{repository.server_port}/maven"
    settings.write_text(SETTINGS.format(url=url, of="*").replace("proxy>", "unused>"))
    jars.ensure_jars(None, lock)
    assert repository.requests[0][1] == "Basic " + base64.b64encode(b"u:p").decode()


def test_credentials_are_not_sent_to_the_target_of_a_redirection(
    repository: Repository, lock: Path, settings: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"http://127.0.0.1:{repository.server_port}/maven"
    settings.write_text(SETTINGS.format(url=url, of="*").replace("proxy>", "unused>"))
    other = Repository()
    with serving(other):
        repository.redirect_to = f"http://localhost:{other.server_port}"
        jars.ensure_jars(None, lock)
        assert repository.requests[0][1] is not None
        assert other.requests == [(f"/maven/{PATH}", None)]


def test_maven_central_is_used_without_settings(settings: Path) -> None:
    assert maven_source().url == maven_central()
