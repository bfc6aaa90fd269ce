"""Where Kafka's jars come from: mirrors, proxies, credentials; and that only the right bytes are taken."""

from __future__ import annotations

import base64
import hashlib
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import SimpleNamespace

import pytest

from stumble.local import jars
from stumble.local.errors import LocalError
from stumble.local.maven import local_repository, maven_central, maven_source

BODY = b"a jar's bytes"
PATH = "org/example/thing/1/thing-1.jar"


@pytest.fixture
def repository() -> Iterator[HTTPServer]:
    """A Maven repository with one jar; it notes what it's asked."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.server.asked.append((self.path, self.headers.get("Authorization")))
            good = self.path.endswith(PATH)
            body = BODY if good else b""
            self.send_response(200 if good else 404)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            broken = len(self.server.asked) <= self.server.broken_replies
            self.wfile.write(body[:5] if broken else body)

        def log_message(self, *args: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    server.asked = []
    server.broken_replies = 0
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("STUMBLE_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)
    path = tmp_path / "a.lock"
    path.write_text(f"# one\n{hashlib.sha256(BODY).hexdigest()} {len(BODY)} {PATH}\n")
    return path


def use(monkeypatch: pytest.MonkeyPatch, server: HTTPServer) -> str:
    url = f"http://127.0.0.1:{server.server_port}/maven"
    monkeypatch.setenv("STUMBLE_MAVEN_REPOSITORY", url + "/")
    return url


def test_a_jar_is_fetched_once(repository: HTTPServer, lock: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, repository)
    seen: list[tuple[int, int]] = []
    first = jars.ensure_jars(lambda done, total: seen.append((done, total)), lock)
    assert [path.read_bytes() for path in first] == [BODY]
    assert seen == [(0, len(BODY)), (len(BODY), len(BODY))]
    assert jars.ensure_jars(None, lock) == first
    assert [path for path, _ in repository.asked] == [f"/maven/{PATH}"]


def test_a_download_that_breaks_off_is_repeated(
    repository: HTTPServer, lock: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, repository)
    repository.broken_replies = 2
    seen: list[int] = []
    assert [path.read_bytes() for path in jars.ensure_jars(lambda done, _: seen.append(done), lock)] == [BODY]
    assert seen == [0, 5, 0, 5, 0, len(BODY)]


def test_a_cache_that_cannot_be_written_is_named(
    repository: HTTPServer, lock: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, repository)
    monkeypatch.setenv("STUMBLE_CACHE_DIR", "/dev/full")
    with pytest.raises(
        LocalError, match=r"can't be written to /dev/full/jars \(Not a directory\); .*STUMBLE_CACHE_DIR="
    ):
        jars.ensure_jars(None, lock)


def test_progress_is_a_line_now_and_then_where_there_is_no_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    times = iter((0.0, 1.0, 12.0, 13.0))
    monkeypatch.setattr(jars, "time", SimpleNamespace(monotonic=lambda: next(times)))
    progress = jars.DownloadProgress()
    for done in (0, 10**6, 2 * 10**6, 3 * 10**6):
        progress(done, 3 * 10**6)
    assert re.findall(r"([0-9.]+) of 3.0 MB\n", capsys.readouterr().err) == ["0.0", "2.0", "3.0"]


def test_other_bytes_are_refused(repository: HTTPServer, lock: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, repository)
    lock.write_text(f"{'0' * 64} {len(BODY)} {PATH}\n")
    with pytest.raises(LocalError, match="SHA-256 differs"):
        jars.ensure_jars(None, lock)
    assert list((lock.parent / "cache" / "jars").iterdir()) == []


def test_a_missing_jar_names_the_address(repository: HTTPServer, lock: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, repository)
    lock.write_text(f"{'0' * 64} 5 org/none.jar\n")
    with pytest.raises(LocalError, match=r"org/none\.jar .*404.*STUMBLE_MAVEN_REPOSITORY="):
        jars.ensure_jars(None, lock)
    assert len(repository.asked) == 1  # asking again can't help


def test_an_unreachable_repository_says_what_mends_it(lock: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STUMBLE_MAVEN_REPOSITORY", "http://127.0.0.1:9/maven")
    with pytest.raises(
        LocalError, match=r"(?s)can't be fetched.*https_proxy.*STUMBLE_MAVEN_REPOSITORY=.*settings\.xml"
    ):
        jars.ensure_jars(None, lock)


def test_the_local_maven_repository_is_used(lock: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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
def test_the_users_mirror_is_used(settings: Path, of: str) -> None:
    settings.write_text(SETTINGS.format(url="http://mirror.example/maven/", of=of))
    source = maven_source()
    assert source.url == "http://mirror.example/maven"
    assert source.headers == {"Authorization": "Basic " + base64.b64encode(b"u:p").decode()}
    assert source.proxies["https"] == "http://proxy.example:3128"


@pytest.mark.parametrize("of", ["*,!central", "other"])
def test_a_mirror_of_something_else_is_not(settings: Path, of: str) -> None:
    settings.write_text(SETTINGS.format(url="http://mirror.example/maven", of=of))
    source = maven_source()
    assert source.url == maven_central()
    assert source.headers == {}


def test_the_credentials_are_sent(
    repository: HTTPServer, lock: Path, settings: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"http://127.0.0.1:{repository.server_port}/maven"
    settings.write_text(SETTINGS.format(url=url, of="*").replace("proxy>", "unused>"))
    jars.ensure_jars(None, lock)
    assert repository.asked[0][1] == "Basic " + base64.b64encode(b"u:p").decode()


def test_no_settings_mean_maven_central(settings: Path) -> None:
    assert maven_source().url == maven_central()
