"""What a run of real Nova left behind, everywhere: kept in one folder, for whoever wants to look into it afterwards.

`outbox/`   every file that producers wrote, also those that the relay has removed since
`topics/`   every record of every topic, a pickle a topic
`store/`    every row of every table, a pickle a table
`api/`      what the API and the web pages answered
`logs/`     logs of every role, and what stumble said in Nova's own log
`seen.json` when each revision of each outcome could first be read from the store; `results.json` what Nova said
"""

from __future__ import annotations

import json
import os
import pickle
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, Self
from urllib.error import HTTPError
from urllib.request import urlopen

import psycopg
from confluent_kafka import Consumer, TopicPartition
from psycopg import sql

from stumble.local.errors import LocalError
from stumble.settings.kafka import KafkaSettings
from stumble.store.connect import connect
from tests.nova.pipeline import Pipeline

_LOOK_S = 0.005
_KEEP_EVERY = 40
_BEHIND = 200
_OUTCOMES = (
    "select id, subject_id::text, revision, status, payload->>'outcome' from publications"
    " where kind = 'outcome' and id > %s"
)


class Record(NamedTuple):
    """One record of a topic, as it lies there."""

    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]


class Watch(threading.Thread):
    """Looks on while a pipeline works: keeps the outbox's files, and notes when outcomes can be read."""

    def __init__(self, outbox: Path, database_url: str, folder: Path) -> None:
        super().__init__(name="watch", daemon=True)
        self._outbox, self._url, self._folder = outbox, database_url, folder
        self._over = threading.Event()
        self.seen: dict[int, dict[str, Any]] = {}

    def __enter__(self) -> Self:
        self._folder.mkdir(parents=True, exist_ok=True)
        self.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._over.set()
        self.join(120)
        (self._folder / "seen.json").write_text(json.dumps(list(self.seen.values())))

    def run(self) -> None:
        """Look every few milliseconds until the end, and once more then."""
        with connect(self._url, application="watch") as session:
            looks, over = 0, False
            while not over:
                over = self._over.wait(_LOOK_S)
                if over or looks % _KEEP_EVERY == 0:
                    keep_links(self._outbox, self._folder / "outbox")
                looks += 1
                self._look(session)

    def _look(self, session: psycopg.Connection[Any]) -> None:
        after = max(self.seen, default=0) - _BEHIND  # an earlier number may be committed later
        rows = session.execute(_OUTCOMES, [after]).fetchall()
        now = time.time_ns() // 1000
        for number, key, revision, status, outcome in rows:
            found = {"request_key": key, "revision": revision, "status": status, "outcome": outcome, "at": now}
            self.seen.setdefault(number, found)


def keep_links(source: Path, kept: Path) -> None:
    """Link every file below `source` into `kept`: it stays when the relay removes it, and grows while it is written."""
    for folder, _, names in os.walk(source):
        for name in names:
            file = Path(folder) / name
            link = kept / file.relative_to(source)
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
    """Replace what was kept under the name, if anything, under another one: rewritten files are kept in every form."""
    if link.exists():
        link.rename(link.with_name(f"{link.name}.{time.monotonic_ns()}"))
    try:
        os.link(file, link)
    except FileNotFoundError:  # gone meanwhile
        return


def collect(pipeline: Pipeline, results: Iterable[Mapping[str, Any]], folder: Path) -> None:
    """Keep all that the pipeline holds now. It must have come to rest but for the publications."""
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
    _keep_answers(pipeline, results, uuids, folder / "api")
    (folder / "results.json").write_text(json.dumps(list(results)))
    logs = folder / "logs"
    logs.mkdir(exist_ok=True)
    for file in (pipeline.state / "logs").glob("*.log"):
        (logs / file.name).write_bytes(file.read_bytes())


def load(folder: Path, kind: str) -> dict[str, Any]:
    """Return what was kept of `topics` or `store`, by name."""
    return {file.stem: pickle.loads(file.read_bytes()) for file in sorted((folder / kind).glob("*.pickle"))}


def tables(session: psycopg.Connection[Any]) -> dict[str, list[dict[str, Any]]]:
    """Return every row of every table of the store, by the table's name."""
    names = session.execute(
        "select table_name from information_schema.tables"
        " where table_schema like 'stumble%%' and table_type = 'BASE TABLE'"
    ).fetchall()
    found = {}
    for (name,) in names:
        with session.cursor() as cursor:
            cursor.execute(sql.SQL("select * from {}").format(sql.Identifier(name)))
            columns = [column.name for column in cursor.description or ()]
            found[name] = [dict(zip(columns, map(_plain, row), strict=True)) for row in cursor]
    return found


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
            at = low
            while at < high:
                message = consumer.poll(60)
                if message is None:
                    raise LocalError(f"{topic} can't be read: {at} of {high} in partition {number}")
                if message.error() is None:
                    at = message.offset() + 1
                    yield Record(message.key(), message.value(), tuple(message.headers() or ()))
    finally:
        consumer.close()


def _topics(settings: KafkaSettings) -> tuple[str, ...]:
    names = settings.topics
    return (names.actions, names.failures, names.outcomes, names.producers, names.dlq)


def _wait_published(session: psycopg.Connection[Any], pipeline: Pipeline, settings: KafkaSettings) -> None:
    """Wait until the topics hold as many revisions as the store has laid down."""
    deadline = time.monotonic() + 90
    while True:
        rows = session.execute("select kind, count(*) from publications group by kind").fetchall()
        wanted = {"failure": 0, "outcome": 0} | dict(rows)
        held = {
            "failure": size(settings, settings.topics.failures),
            "outcome": size(settings, settings.topics.outcomes),
        }
        if all(held[kind] >= count for kind, count in wanted.items()):
            return
        pipeline.require_running()
        if time.monotonic() > deadline:
            raise LocalError(f"the alerter published {held} of {wanted} within 90 s")
        time.sleep(0.2)


def size(settings: KafkaSettings, topic: str) -> int:
    """Return how many records a topic holds."""
    consumer = Consumer({"bootstrap.servers": settings.bootstrap_servers, "group.id": "evidence"})
    try:
        numbers = consumer.list_topics(topic, timeout=60).topics[topic].partitions
        marks = [consumer.get_watermark_offsets(TopicPartition(topic, number), timeout=60) for number in numbers]
        return sum(high - low for low, high in marks)
    finally:
        consumer.close()


def _keep_answers(pipeline: Pipeline, results: Iterable[Mapping[str, Any]], uuids: Iterable[str], folder: Path) -> None:
    paths = ["/v1/sightings", "/v1/problems", "/metrics", "/openapi.json", "/"]
    paths += [f"/v1/requests/{one['request_id']}" for one in results if one.get("request_id")]
    for uuid in uuids:
        paths += [f"/v1/instances/{uuid}", f"/servers/{uuid}"]
    following: str | None = "/v1/failures?limit=200"
    folder.mkdir(parents=True, exist_ok=True)
    while following:
        page = json.loads(_answer(pipeline, following, folder))
        paths += [f"/v1/failures/{one['failure_id']}" for one in page["items"]]
        following = page.get("next")
    for path in paths:
        _answer(pipeline, path, folder)


def _answer(pipeline: Pipeline, path: str, folder: Path) -> str:
    try:
        with urlopen(path if path.startswith("http") else pipeline.url + path, timeout=60) as answer:
            said = answer.read().decode()
    except HTTPError as error:
        said = error.read().decode()
    with (folder / "answers.txt").open("a") as file:
        file.write(f"GET {path}\n{said}\n")
    return said


def _save(folder: Path, found: Mapping[str, Any]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, rows in found.items():
        (folder / f"{name}.pickle").write_bytes(pickle.dumps(rows))
