"""The evidence of a run of real Nova, in one folder for later tests and inspection.

`outbox/`   every file that producers wrote, also those that the relay has removed since then
`topics/`   every record of every topic, a pickle a topic
`store/`    every row of every table, a pickle a table
`api/`      the answers of the API and the web pages
`logs/`     logs of every role, and the lines of stumble in Nova's own log
`seen.json` when each revision of each outcome could first be read from the store; `results.json` Nova's results
"""

from __future__ import annotations

import json
import os
import pickle
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, Self, cast
from urllib.error import HTTPError
from urllib.request import urlopen

import psycopg
from confluent_kafka import Consumer, TopicPartition
from psycopg import sql

from stumble.local.errors import LocalError
from stumble.settings.kafka import KafkaSettings
from stumble.store.connect import connect
from tests.nova.pipeline import Pipeline

_POLL_SECONDS = 0.005
_LINK_EVERY = 40
_OVERLAP = 200
_OUTCOMES = (
    "select id, subject_id::text, revision, status, payload->>'outcome' from publications"
    " where kind = 'outcome' and id > %s"
)


class Record(NamedTuple):
    """One record of a topic, not decoded."""

    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]


class Watch(threading.Thread):
    """Observes a running pipeline: links the outbox's files, and records when outcomes become readable."""

    def __init__(self, outbox: Path, database_url: str, folder: Path) -> None:
        super().__init__(name="watch", daemon=True)
        self._outbox, self._url, self._folder = outbox, database_url, folder
        self._ended = threading.Event()
        self.first_read: dict[int, dict[str, Any]] = {}

    def __enter__(self) -> Self:
        self._folder.mkdir(parents=True, exist_ok=True)
        self.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._ended.set()
        self.join(120)
        (self._folder / "seen.json").write_text(json.dumps(list(self.first_read.values())))

    def run(self) -> None:
        """Query every few milliseconds until the end, and once more after it."""
        with connect(self._url, application="watch") as session:
            polls, ended = 0, False
            while not ended:
                ended = self._ended.wait(_POLL_SECONDS)
                if ended or polls % _LINK_EVERY == 0:
                    link_files(self._outbox, self._folder / "outbox")
                polls += 1
                self._query(session)

    def _query(self, session: psycopg.Connection[Any]) -> None:
        after = max(self.first_read, default=0) - _OVERLAP  # an earlier number may be committed later
        rows = session.execute(_OUTCOMES, [after]).fetchall()
        now = time.time_ns() // 1000
        for number, key, revision, status, outcome in rows:
            first = {"request_key": key, "revision": revision, "status": status, "outcome": outcome, "at": now}
            self.first_read.setdefault(number, first)


def link_files(source: Path, target: Path) -> None:
    """Link every file below `source` into `target`: the link stays when the relay removes the file."""
    for folder, _, names in os.walk(source):
        for name in names:
            file = Path(folder) / name
            link = target / file.relative_to(source)
            if link.exists() and link.stat().st_ino == _inode(file):
                continue
            link.parent.mkdir(parents=True, exist_ok=True)
            _link(file, link)


def _inode(file: Path) -> int:
    try:
        return file.stat().st_ino
    except FileNotFoundError:
        return 0


def _link(file: Path, link: Path) -> None:
    """Create `link`; an older link of this name gets another name, so every version of a rewritten file stays."""
    if link.exists():
        link.rename(link.with_name(f"{link.name}.{time.monotonic_ns()}"))
    try:
        os.link(file, link)
    except FileNotFoundError:  # removed by the relay meanwhile
        return


def collect(pipeline: Pipeline, results: Iterable[Mapping[str, Any]], folder: Path) -> None:
    """Save the whole state of the pipeline. It must be idle, except for publications."""
    settings = KafkaSettings(
        bootstrap_servers=pipeline.environment["STUMBLE_KAFKA__BOOTSTRAP_SERVERS"],
        topic_prefix=pipeline.environment["STUMBLE_KAFKA__TOPIC_PREFIX"],
    )
    url = pipeline.environment["STUMBLE_DATABASE_URL"]
    with connect(url) as session:
        _wait_published(session, pipeline, settings)
        _save(folder / "store", tables(session))
        uuids = [row[0] for row in session.execute("select distinct instance_uuid::text from requests")]
    _save(folder / "topics", {name: list(records(settings, name)) for name in _topics(settings)})
    _save_answers(pipeline, results, uuids, folder / "api")
    (folder / "results.json").write_text(json.dumps(list(results)))
    logs = folder / "logs"
    logs.mkdir(exist_ok=True)
    for file in (pipeline.state / "logs").glob("*.log"):
        (logs / file.name).write_bytes(file.read_bytes())


def load(folder: Path, kind: str) -> dict[str, Any]:
    """Return the saved `topics` or `store` by name."""
    return {file.stem: pickle.loads(file.read_bytes()) for file in sorted((folder / kind).glob("*.pickle"))}


def tables(session: psycopg.Connection[Any]) -> dict[str, list[dict[str, Any]]]:
    """Return every row of every table of the store, by the table's name."""
    names = session.execute(
        "select table_name from information_schema.tables"
        " where table_schema like 'stumble%%' and table_type = 'BASE TABLE'"
    ).fetchall()
    rows_by_table = {}
    for (name,) in names:
        with session.cursor() as cursor:
            cursor.execute(sql.SQL("select * from {}").format(sql.Identifier(name)))
            columns = [column.name for column in cursor.description or ()]
            rows_by_table[name] = [dict(zip(columns, map(_plain, row), strict=True)) for row in cursor]
    return rows_by_table


def _plain(value: Any) -> Any:
    return value if value is None or isinstance(value, bytes | int | str | float | list | dict) else str(value)


def records(settings: KafkaSettings, topic: str) -> Iterator[Record]:
    """Yield every record of a topic, from its beginning to the end that it has now."""
    consumer = Consumer({"bootstrap.servers": settings.bootstrap_servers, "group.id": "evidence"})
    try:
        partitions = consumer.list_topics(topic, timeout=60).topics[topic].partitions
        for number in partitions:
            low, high = consumer.get_watermark_offsets(TopicPartition(topic, number), timeout=60)
            consumer.assign([TopicPartition(topic, number, low)])
            offset = low
            while offset < high:
                message = consumer.poll(60)
                if message is None:
                    raise LocalError(f"{topic} cannot be read: offset {offset} of {high} in partition {number}")
                if message.error() is None:
                    position = message.offset()
                    assert position is not None
                    offset = position + 1
                    headers = cast("list[tuple[str, bytes]]", message.headers() or [])
                    yield Record(message.key(), message.value(), tuple(headers))
    finally:
        consumer.close()


def _topics(settings: KafkaSettings) -> tuple[str, ...]:
    names = settings.topics
    return (names.actions, names.failures, names.outcomes, names.producers, names.dlq)


def _wait_published(session: psycopg.Connection[Any], pipeline: Pipeline, settings: KafkaSettings) -> None:
    """Wait until the topics contain as many revisions as the store has publications."""
    deadline = time.monotonic() + 90
    while True:
        rows = session.execute("select kind, count(*) from publications group by kind").fetchall()
        expected = {"failure": 0, "outcome": 0} | dict(rows)
        published = {
            "failure": size(settings, settings.topics.failures),
            "outcome": size(settings, settings.topics.outcomes),
        }
        if all(published[kind] >= count for kind, count in expected.items()):
            return
        pipeline.require_running()
        if time.monotonic() > deadline:
            raise LocalError(f"the alerter published {published} of {expected} within 90 s")
        time.sleep(0.2)


def size(settings: KafkaSettings, topic: str) -> int:
    """Return how many records a topic has."""
    consumer = Consumer({"bootstrap.servers": settings.bootstrap_servers, "group.id": "evidence"})
    try:
        numbers = consumer.list_topics(topic, timeout=60).topics[topic].partitions
        marks = [consumer.get_watermark_offsets(TopicPartition(topic, number), timeout=60) for number in numbers]
        return sum(high - low for low, high in marks)
    finally:
        consumer.close()


def _save_answers(pipeline: Pipeline, results: Iterable[Mapping[str, Any]], uuids: Iterable[str], folder: Path) -> None:
    paths = ["/v1/sightings", "/v1/problems", "/metrics", "/openapi.json", "/"]
    paths += [f"/v1/requests/{one['request_id']}" for one in results if one.get("request_id")]
    for uuid in uuids:
        paths += [f"/v1/instances/{uuid}", f"/servers/{uuid}"]
    next_page: str | None = "/v1/failures?limit=200"
    folder.mkdir(parents=True, exist_ok=True)
    while next_page:
        page = json.loads(_answer(pipeline, next_page, folder))
        paths += [f"/v1/failures/{one['failure_id']}" for one in page["items"]]
        next_page = page.get("next")
    for path in paths:
        _answer(pipeline, path, folder)


def _answer(pipeline: Pipeline, path: str, folder: Path) -> str:
    try:
        with urlopen(path if path.startswith("http") else pipeline.url + path, timeout=60) as answer:
            body = answer.read().decode()
    except HTTPError as error:
        body = error.read().decode()
    with (folder / "answers.txt").open("a") as file:
        file.write(f"GET {path}\n{body}\n")
    return body


def _save(folder: Path, rows_by_name: Mapping[str, Any]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, rows in rows_by_name.items():
        (folder / f"{name}.pickle").write_bytes(pickle.dumps(rows))
