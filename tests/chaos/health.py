"""Reads the health of the roles from outside each second, and compares it with the faults of the run."""

from __future__ import annotations

import json
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from itertools import groupby
from pathlib import Path

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

#: Seconds after which health must show that data does not move: a server that is gone, one that is silent.
GONE, SILENT = 10.0, 30.0
#: Seconds of tolerance: answers are read once a second, on a machine that does much else.
_TOLERANCE = 3.0
#: Seconds between two answers of the broker, which is asked each second, from which on it did not answer.
_UNANSWERED = 3.0
#: Seconds after a fault until data moves again, so that health must be good. Members of a killed process's group wait
#: for the end of its session, clients wait between two attempts to connect.
_RECOVERY = 30.0
_HEALTHY = ("ok", "ready")
_TIMEOUT = 9.0
#: The words of an alerter that waits for the lease of another one, and moves no data.
_STANDBY = "standby"


@dataclass(frozen=True)
class Answer:
    """What a role answered at ``at`` (seconds of the run) to a request for ``/healthz`` or ``/readyz``."""

    at: float
    role: str
    path: str
    is_healthy: bool
    text: str


@dataclass
class Interruption:
    """From ``begin`` to ``end`` (seconds of the run) ``what`` happens to ``whom``, a role, server or connection."""

    what: str
    whom: str
    begin: float
    end: float


class HealthReader:
    """Asks each role for its health, and the broker for its partitions, once a second, each in a thread of its own.

    ``outages``: when the broker did not answer. A broker that is started again needs seconds, on a busy machine half a
    minute, until it serves; roles are right to say so.
    """

    def __init__(self, ports: dict[str, int], bootstrap_servers: str, topic: str) -> None:
        self.answers: list[Answer] = []
        self.outages: list[Interruption] = []
        self._began = time.monotonic()
        self._stopped = threading.Event()
        self._threads = [threading.Thread(target=self._read, args=one, daemon=True) for one in ports.items()]
        watch = threading.Thread(target=self._watch_broker, args=(bootstrap_servers, topic), daemon=True)
        self._threads.append(watch)

    def start(self) -> None:
        self._began = time.monotonic()
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stopped.set()
        for thread in self._threads:
            thread.join(_TIMEOUT + 1)

    def _read(self, role: str, port: int) -> None:
        while not self._stopped.wait(1.0):
            for path in ("/healthz", "/readyz"):
                with suppress(OSError, ValueError):
                    at = time.monotonic() - self._began
                    self.answers.append(Answer(at, role, path, *_ask(f"http://127.0.0.1:{port}{path}")))

    def _watch_broker(self, bootstrap_servers: str, topic: str) -> None:
        backoff = {"reconnect.backoff.ms": 50, "reconnect.backoff.max.ms": 200}
        client = AdminClient({"bootstrap.servers": bootstrap_servers, "log_level": 0, **backoff})
        last_answer = 0.0
        while not self._stopped.wait(1.0):
            if not _serves(client, topic):
                continue
            now = time.monotonic() - self._began
            if now - last_answer > _UNANSWERED:
                self.outages.append(Interruption("no answer of", "broker", last_answer, now))
            last_answer = now


def _serves(client: AdminClient, topic: str) -> bool:
    """Return whether the broker answers within a second, and leads each partition of a topic."""
    try:
        metadata = client.list_topics(topic, timeout=1.0).topics[topic]
    except KafkaException:
        return False
    return metadata.error is None and all(one.leader >= 0 for one in metadata.partitions.values())


def wait_until_ready(ports: dict[str, int], seconds: float) -> None:
    """Wait until all roles are ready; raises `TimeoutError` with the words of one that is not."""
    deadline = time.monotonic() + seconds
    for role, port in ports.items():
        while True:
            try:
                is_healthy, text = _ask(f"http://127.0.0.1:{port}/readyz")
            except OSError as error:
                is_healthy, text = False, str(error)
            if is_healthy:
                break
            if time.monotonic() > deadline:
                raise TimeoutError(f"{role} is not ready after {seconds:.0f} s: {text}")
            time.sleep(0.2)


def _ask(url: str) -> tuple[bool, str]:
    """Return whether a role says that it is healthy, and its words; raises `OSError` if it does not answer."""
    try:
        with urllib.request.urlopen(url, timeout=_TIMEOUT) as reply:
            body = reply.read()
    except urllib.error.HTTPError as error:
        body = error.read()
    answer = json.loads(body)
    return answer["status"] in _HEALTHY, str(answer.get("detail") or answer.get("reasons") or "")


def save(path: Path, answers: Iterable[Answer], interruptions: Iterable[Interruption]) -> None:
    """Write each answer and each interruption as a line of JSON."""
    rows = [*map(asdict, answers), *map(asdict, interruptions)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


@dataclass(frozen=True)
class Judgement:
    """How many answers had to be bad and how many good, and the wrong ones."""

    bad: int
    good: int
    wrong: list[str]


def judge(answers: Iterable[Answer], interruptions: list[Interruption]) -> Judgement:
    """Compare the answers with what happened."""
    bad = good = 0
    wrong: list[Answer] = []
    for one in answers:
        if one.path == "/healthz":  # no fault of the run is one that a restart of the role repairs
            good += 1
            if not one.is_healthy:
                wrong.append(one)
        elif _must_be_bad(one, interruptions):
            bad += 1
            if one.is_healthy:
                wrong.append(one)
        elif _must_be_good(one, interruptions):
            good += 1
            if not one.is_healthy:
                wrong.append(one)
    return Judgement(bad, good, list(_described(wrong)))


def _must_be_bad(one: Answer, interruptions: list[Interruption]) -> bool:
    """Return whether a server that the role needs has been away for longer than health may take to show it."""
    return one.text != _STANDBY and any(
        max(each.begin, _begin_of(one, interruptions)) + bound + _TOLERANCE < one.at < each.end
        for each in interruptions
        if (bound := _bound(each)) and each.whom in _servers_of(one.role)
    )


def _begin_of(one: Answer, interruptions: list[Interruption]) -> float:
    """Return since when the role has run without an interruption of its own."""
    return max(
        (min(each.end, one.at) for each in interruptions if each.whom == one.role and each.begin <= one.at), default=0.0
    )


def _must_be_good(one: Answer, interruptions: list[Interruption]) -> bool:
    """Return whether nothing that the role needs was disturbed recently."""
    return not any(
        each.begin <= one.at < each.end + _RECOVERY for each in interruptions if _concerns(each.whom, one.role)
    )


def _bound(each: Interruption) -> float:
    """Return the seconds after which health must show an interruption, 0 if it may not show it at all."""
    if each.what == "pause":
        return SILENT
    return GONE if each.what == "kill" else 0.0


def _servers_of(role: str) -> set[str]:
    """Return the servers without which no data moves through a role, as it can tell."""
    return {"broker"} if role.startswith("relay") else {"broker", "database"}


def _concerns(whom: str, role: str) -> bool:
    """Return whether a fault may disturb a role: its own, or that of a server, a connection or another projector."""
    if whom == role:
        return True
    if role.startswith("relay"):
        return whom in {"broker", "edge", "registry", role.removeprefix("relay-")}
    if role == "alerter":
        return whom in {"broker", "database", "roles", "registry", "receiver"}
    needed = {"broker", "database", "roles", "registry", "topic", "transactions"}
    return whom in needed or whom.startswith("projector")


def _described(wrong: list[Answer]) -> Iterator[str]:
    """Yield a line for each series of wrong answers of a role."""
    for (role, path, is_healthy), series in groupby(
        sorted(wrong, key=lambda one: (one.role, one.path, one.at)),
        key=lambda one: (one.role, one.path, one.is_healthy),
    ):
        times = list(series)
        yield (
            f"{role}{path} is {'good' if is_healthy else 'bad'} {len(times)} times from {times[0].at:.1f} s to "
            f"{times[-1].at:.1f} s: {times[0].text}"
        )
