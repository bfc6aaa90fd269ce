"""Compares store, topics and truth after the chaos, and says in a table what is right."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
from confluent_kafka import Consumer, Message, TopicPartition

from stumble.emitter import Emitter
from stumble.wire.codec import Decoder
from stumble.wire.ids import publication_event_id
from stumble.wire.schemas import EVENT
from stumble.wire.topics import Topics
from tests.chaos import damage, reading, telling
from tests.chaos.emitting import journal
from tests.chaos.faults import Doer
from tests.chaos.fleet import Plan, clock_jumped, tell
from tests.chaos.world import SILENT_AFTER, World
from tests.support.comparing import ANY, differences

Say = Callable[[str], None]


@dataclass
class Check:
    """One line of the verdict; right where there are no ``wrong``."""

    name: str
    found: str
    wrong: list[str] = field(default_factory=list)


@dataclass
class Emitted:
    """What the emitters told, by event id, and what their outboxes said to it."""

    events: dict[str, dict[str, Any]] = field(default_factory=dict)
    accepted: set[str] = field(default_factory=set)
    tried: set[str] = field(default_factory=set)
    tries_refused: int = 0
    truths: list[dict[str, Any]] = field(default_factory=list)

    @property
    def refused(self) -> set[str]:
        return self.tried - self.accepted


def emitted(world: World, plans: dict[str, Plan]) -> Emitted:
    """Read the journals beside the streams they tell of."""
    found = Emitted()
    for name, plan in plans.items():
        order = []
        jumped = clock_jumped(plan)
        for told in tell(plan):
            order.append(told.event["event_id"])
            found.events[told.event["event_id"]] = told.event
            for truth in told.truths:
                effect = {"effect": ANY} if truth.request_id in jumped else {}
                found.truths.append(json.loads(truth.line()) | effect)
        for number, accepted in journal(world.emitter(name)):
            found.tried.add(order[number])
            if accepted:
                found.accepted.add(order[number])
            else:
                found.tries_refused += 1
    return found


def stored_ids(url: str) -> set[str]:
    with psycopg.connect(url) as connection:
        return {row[0] for row in connection.execute("select event_id::text from stumble_derived.events")}


def until_steady(ask: Callable[[], list[str]], seconds: float, turn: Callable[[], None]) -> list[str]:
    """Ask until nothing is wrong any more; return what still is after ``seconds``."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            wrong = ask()
        except psycopg.OperationalError as error:
            wrong = [f"the store is away: {error}"]
        if not wrong or time.monotonic() > deadline:
            return wrong
        pause = time.monotonic() + 0.5
        while time.monotonic() < pause:
            turn()
            time.sleep(0.05)


def records(bootstrap: str, topics: list[str]) -> Iterator[Message]:
    """Yield everything that lies in topics now."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "auditor", "enable.auto.commit": False,
                         "enable.partition.eof": True})  # fmt: skip
    try:
        left = {}
        for topic in topics:
            for number in consumer.list_topics(topic, 20).topics[topic].partitions:
                low, high = consumer.get_watermark_offsets(TopicPartition(topic, number), timeout=20)
                if high > low:
                    left[topic, number] = high
        if not left:
            return
        consumer.assign([TopicPartition(topic, number, 0) for topic, number in left])
        while left:
            for message in consumer.consume(1000, 1.0):
                if message.error() is None:
                    yield message
                    place = (str(message.topic()), message.partition() or 0)
                    if (message.offset() or 0) + 1 >= left.get(place, 1 << 62):
                        left.pop(place)
    finally:
        consumer.close()


class Auditor:
    """Judges one run. ``turn`` keeps the world going while it waits."""

    def __init__(
        self, world: World, plans: dict[str, Plan], doer: Doer, poison: dict[tuple[int, int], bytes],
        turn: Callable[[], None], patience: float,
    ) -> None:  # fmt: skip
        self._world = world
        self._url = world.database_url
        self._kafka = world.kafka.bootstrap_servers
        self._told = emitted(world, plans)
        self._hurt = doer.hurt
        self._dying, self._living = doer.dying, doer.living
        for one in (self._dying, self._living):
            self._expect(one.told)
        self._buried = damage.waiting(world.outbox(world.cast.doomed))
        self._poison = poison
        self._turn = turn
        self._patience = patience
        self.checks: list[Check] = []

    def _expect(self, events: list[dict[str, Any]]) -> None:
        ids = {event["event_id"]: event for event in events}
        self._told.events.update(ids)
        self._told.accepted |= ids.keys()
        self._told.tried |= ids.keys()

    def judge(self, say: Say) -> list[Check]:
        """Judge everything; the events that were destroyed or refused are made good for in between."""
        for step in (
            self._events, self._destroyed, self._refusals, self._dead_host, self._make_good, self._own_audit,
            self._topic, self._dead_letters, self._publications, self._downstream, self._webhooks, self._alerts,
            self._roles,
        ):  # fmt: skip
            check = step()
            self.checks.append(check)
            say(f"{'right' if not check.wrong else 'WRONG'}  {check.name}: {check.found}")
            for line in check.wrong[:10]:
                say(f"         {line}")
        return self.checks

    def _events(self) -> Check:
        told = self._told

        def ask() -> list[str]:
            stored = stored_ids(self._url)
            lost = told.accepted - stored - self._hurt - self._buried
            extra = stored - told.accepted
            return [f"lost: {self._describe(one)}" for one in sorted(lost)] + [f"extra: {one}" for one in extra]

        wrong = until_steady(ask, self._patience, self._turn)
        found = f"{len(told.accepted)} accepted of {len(told.events)}, {len(stored_ids(self._url))} stored"
        return Check("events: none missing, none extra", found, wrong)

    def _describe(self, event_id: str) -> str:
        event = self._told.events[event_id]
        names = ("occurred_at", "request_id", "instance_uuid", "phase")
        return f"{event_id} " + " ".join(f"{name}={event.get(name)}" for name in names)

    def _destroyed(self) -> Check:
        """Of what was damaged, some may have been delivered; nothing else may be missing."""
        stored = stored_ids(self._url)
        gone, buried = self._hurt - stored, self._buried - stored
        kept = sum(
            len(list((self._world.outbox(host) / "relay" / "quarantine").glob("*.bin")))
            for host in self._world.cast.hosts
        )
        found = (
            f"{len(self._hurt)} hurt, {len(gone)} of them gone, {kept} pieces in quarantine; "
            f"{len(buried)} lie on the dead host"
        )
        return Check("what was destroyed", found, [])

    def _refusals(self) -> Check:
        """Counters of refusals reach the store; kill -9 may cost the count of the refusal in hand."""
        wanted = self._told.tries_refused

        def ask() -> list[str]:
            (refused,) = self._one("select coalesce(sum(refused_total), 0)::bigint from stumble_durable.producers")
            slack = 3  # kills of an emitter between the refusal and its entry in the journal
            return [] if wanted <= refused <= wanted + slack else [f"counted {refused}, not {wanted}"]

        wrong = until_steady(ask, self._patience, self._turn)
        return Check(
            "refused events, as producers count them", f"{wanted} tries, {len(self._told.refused)} events", wrong
        )

    def _dead_host(self) -> Check:
        """What the dead host had begun stalls after the stated time; what the others had begun does not."""

        def ask() -> list[str]:
            wrong = []
            for unfinished, wanted in ((self._dying, "STALLED"), (self._living, "IN_PROGRESS")):
                rows = self._all(
                    "select outcome, evidence from stumble_derived.requests where request_key = any(%s::uuid[])",
                    unfinished.keys(),
                )
                wrong += [f"{unfinished.host}: {len(rows)} requests"] if len(rows) != len(unfinished.requests) else []
                wrong += [f"{unfinished.host}: {row[0]}" for row in rows if row[0] != wanted]
                if wanted == "STALLED":
                    said = f"no news from {unfinished.host} since "
                    wrong += [f"evidence: {row[1]}" for row in rows if not str(row[1]).startswith(said)]
            return wrong

        wrong = until_steady(ask, self._patience, self._turn)
        (early,) = self._one(
            "select count(*) from stumble_durable.decisions d, stumble_durable.producers p where d.kind = 'STALLED'"
            f" and p.host = '{self._dying.host}' and p.process = 'relay'"
            f" and d.decided_at < p.reported_at + interval '{SILENT_AFTER} s'"
        )
        wrong += [f"{early} stalled too early"] if early else []
        (others,) = self._one("select count(*) from stumble_durable.decisions")
        wrong += (
            [f"{others - len(self._dying.requests)} other decisions"] if others != len(self._dying.requests) else []
        )
        found = f"{len(self._dying.requests)} of {self._dying.host} stalled, {len(self._living.requests)} did not"
        return Check("one host dead for good", found, wrong)

    def _make_good(self) -> Check:
        """Emit again what was destroyed or refused: now the store must tell the truth, exactly."""
        missing = self._told.events.keys() - stored_ids(self._url)
        emitter = Emitter(self._world.outbox(self._world.cast.hosts[0]), service="healer", host="healer")
        self._living.end()
        self._expect(self._living.told)
        self._told.truths += [*self._living.truths("SUCCEEDED"), *self._dying.truths("STALLED")]
        wrong = [f"not accepted: {one}" for one in missing if not emitter.emit(self._told.events[one])]

        def ask() -> list[str]:
            with psycopg.connect(self._url, autocommit=True) as connection:
                return differences(connection, self._told.truths)

        wrong += until_steady(ask, self._patience, self._turn)
        failures = sum(len(one["failures"]) for one in self._told.truths)
        found = f"{len(self._told.truths)} requests, {failures} failures; {len(missing)} events told anew"
        return Check("requests, failures, outcomes, counters, problems = truth", found, wrong)

    def _own_audit(self) -> Check:
        """`stumble audit` must come to the same."""
        done = self._world.ask("audit", "--wait", "30")
        lines = (done.stderr + done.stdout).splitlines()
        wrong = [] if done.returncode == 0 else [f"status {done.returncode}", *lines]
        return Check("stumble audit says so, too", lines[-1] if lines else "nothing said", wrong)

    def _topic(self) -> Check:
        """The topic holds exactly what the store does; repeats are what at-least-once costs."""
        decoder = Decoder(EVENT)
        seen: Counter[str] = Counter()
        for message in records(self._kafka, [Topics("").actions]):
            if (message.partition(), message.offset()) not in self._poison:
                event = decoder.decode(message.value() or b"", message.headers())  # type: ignore[arg-type]
                seen[event["event_id"]] += 1
        stored = stored_ids(self._url)
        wrong = [f"in the topic only: {one}" for one in sorted(seen.keys() - stored)]
        wrong += [f"in the store only: {one}" for one in sorted(stored - seen.keys())]
        return Check("topic = store", f"{seen.total()} records, {len(seen)} events", wrong)

    def _dead_letters(self) -> Check:
        wrong: list[str] = []
        found: dict[tuple[int, int], bytes] = {}
        copies = 0
        for message in records(self._kafka, [Topics("").dlq]):
            headers = dict(message.headers() or [])
            place = tuple(int(headers[f"__stumble.errors.{name}"] or b"") for name in ("partition", "offset"))
            found[place[0], place[1]] = message.value() or b""
            copies += 1
        wrong += [f"not there: {place}" for place in sorted(self._poison.keys() - found.keys())]
        wrong += [f"no bad record: {place}" for place in sorted(found.keys() - self._poison.keys())]
        wrong += [f"bytes differ: {place}" for place in found.keys() & self._poison.keys()
                  if found[place] != self._poison[place]]  # fmt: skip
        return Check("dead letters = bad records", f"{len(self._poison)} bad, {copies} letters", wrong)

    def _publications(self) -> Check:
        def ask() -> list[str]:
            lines = [reading.line(one) for one in records(self._kafka, [Topics("").failures, Topics("").outcomes])]
            return self._against_store(lines)

        wrong = until_steady(ask, self._patience, self._turn)
        (count,) = self._one("select count(*) from stumble_durable.publications")
        return Check("topics of failures and outcomes = store", f"{count} revisions", wrong)

    def _downstream(self) -> Check:
        def ask() -> list[str]:
            return self._against_store(lines_of(self._world.folder / "downstream.jsonl"))

        wrong = until_steady(ask, self._patience, self._turn)
        read = len(list(lines_of(self._world.folder / "downstream.jsonl")))
        return Check("what a downstream system was told = store", f"{read} records read", wrong)

    def _against_store(self, told: Iterable[dict[str, Any]]) -> list[str]:
        """Every revision at least once under its one id; the highest is the store's; what stands is the truth."""
        wrong = []
        ids: dict[tuple[str, int], set[str]] = {}
        newest: dict[str, dict[str, Any]] = {}
        for line in told:
            ids.setdefault((line["subject"], line["revision"]), set()).add(line["ce_id"])
            if line["revision"] >= newest.get(line["subject"], line)["revision"]:
                newest[line["subject"]] = line
        wanted = {
            (subject, revision): publication_event_id(subject, revision)
            for subject, revision in self._all("select subject_id::text, revision from stumble_durable.publications")
        }
        wrong += [f"never told: {one}" for one in sorted(wanted.keys() - ids.keys())]
        wrong += [f"not in the store: {one}" for one in sorted(ids.keys() - wanted.keys())]
        wrong += [f"{one} has ids {ids[one]}" for one in ids.keys() & wanted.keys() if ids[one] != {wanted[one]}]
        standing = {one["subject"]: one for one in newest.values() if one["status"] == "CURRENT"}
        outcomes = {one["request_key"]: one["outcome"] for one in self._told.truths}
        failures = {each["failure_id"]: each["exception"] for one in self._told.truths for each in one["failures"]}
        if {key: one["outcome"] for key, one in standing.items() if one["kind"] == "outcome"} != outcomes:
            wrong.append("the outcomes that stand are not the truth's")
        if {key: one["exception"] for key, one in standing.items() if one["kind"] == "failure"} != failures:
            wrong.append("the failures that stand are not the truth's")
        return wrong

    def _webhooks(self) -> Check:
        published = "select subject_id::text, revision from stumble_durable.publications where kind = 'failure'"
        return self._hooked(
            "webhooks: each failure, signed, one id", telling.FAILURES,
            lambda posts, secret: telling.judge_failures(posts, secret, set(self._all(published))),
        )  # fmt: skip

    def _alerts(self) -> Check:
        """Which must have fired follows from what was published, not from what the alerter noted."""
        causes = (
            "select kind, payload from stumble_durable.publications where status = 'CURRENT'"
            " and (kind = 'outcome' or revision = 1)"
        )
        stored = "select rule, problem, state, starts_at, ends_at from stumble_durable.alerts"

        def judge(posts: list[dict[str, Any]], secret: str) -> list[str]:
            alerts = [telling.Alert(*row) for row in self._all(stored)]
            return telling.judge_alerts(posts, secret, alerts, telling.wanted_alerts(self._all(causes)))

        return self._hooked("webhooks: each alert fires, then is over, one id", telling.ALERTS, judge)

    def _hooked(self, name: str, path: str, judge: Callable[[list[dict[str, Any]], str], list[str]]) -> Check:
        """Judge what was posted to a path."""

        def posts() -> list[dict[str, Any]]:
            return [post for post in lines_of(self._world.folder / "webhooks.jsonl") if post["path"] == path]

        wrong = until_steady(lambda: judge(posts(), self._world.secrets[path]), self._patience, self._turn)
        told = posts()
        refused = sum(post["status"] != telling.TAKEN for post in told)
        ids = len({post["headers"]["webhook-id"] for post in told})
        return Check(name, f"{len(told)} posts, {refused} refused, {ids} ids", wrong)

    def _roles(self) -> Check:
        ended = [line for role in self._world.roles.values() for line in role.ended]
        (deadlocks,) = self._one("select deadlocks from pg_stat_database where datname = current_database()")
        wrong = ended + ([f"{deadlocks} deadlocks"] if deadlocks else [])
        return Check("no role ended by itself, no deadlock", f"{len(self._world.roles)} roles", wrong)

    def _one(self, query: str) -> tuple[Any, ...]:
        return self._all(query)[0]

    def _all(self, query: str, *parameters: Any) -> list[tuple[Any, ...]]:
        with psycopg.connect(self._url) as connection:
            return connection.execute(query, parameters or None).fetchall()  # type: ignore[arg-type]


def lines_of(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the whole lines of a JSON file; a receiver that was killed may have left a part of one."""
    for line in path.read_bytes().splitlines():
        try:
            yield json.loads(line)
        except ValueError:
            continue
