"""Compares store, topics and truth after the faults; returns the checks for the table of results."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

from stumble.emitter import Emitter
from stumble.outbox.folders import RELAY
from stumble.relay.rejected import read_rejected
from stumble.wire.codec import Decoder
from stumble.wire.kafka_record import headers_of
from stumble.wire.schemas import EVENT
from stumble.wire.topics import Topics
from tests.chaos import damage, hostile, reading, telling
from tests.chaos.emitting import journal
from tests.chaos.faults import FaultInjector
from tests.chaos.fleet import Plan, planned_events, with_uncertain_effect
from tests.chaos.subscribing import check_published
from tests.chaos.world import SILENT_AFTER, Deployment
from tests.support.comparing import ANY, differences

PrintLine = Callable[[str], None]


@dataclass
class Check:
    """One line of the table of results; it is right if ``wrong`` is empty."""

    name: str
    summary: str
    wrong: list[str] = field(default_factory=list)


def print_check(check: Check, print_line: PrintLine) -> None:
    """Print a result, and the first errors."""
    print_line(f"{'right' if not check.wrong else 'WRONG'}  {check.name}: {check.summary}")
    for line in check.wrong[:10]:
        print_line(f"         {line}")


@dataclass
class Emitted:
    """The events of the emitters by event id, and which of them the outboxes accepted."""

    events: dict[str, dict[str, Any]] = field(default_factory=dict)
    accepted: set[str] = field(default_factory=set)
    #: Those of the transactional producer, all of which it has committed.
    transactional: set[str] = field(default_factory=set)
    tried: set[str] = field(default_factory=set)
    tries_refused: int = 0
    truths: list[dict[str, Any]] = field(default_factory=list)

    @property
    def refused(self) -> set[str]:
        return self.tried - self.accepted

    def add(self, plan: Plan) -> list[str]:
        """Add the stream of a plan; returns the ids of its events in their order."""
        order = []
        uncertain = with_uncertain_effect(plan)
        for planned in planned_events(plan):
            order.append(planned.event["event_id"])
            self.events[planned.event["event_id"]] = planned.event
            for truth in planned.truths:
                effect = {"effect": ANY} if truth.request_id in uncertain else {}
                self.truths.append(json.loads(truth.line()) | effect)
        return order


def emitted(deployment: Deployment, plans: dict[str, Plan], transactional: Plan) -> Emitted:
    """Return the events of the plans, and from the journals which of them were tried and accepted.

    The transactional producer does not end before all its transactions are committed.
    """
    result = Emitted()
    result.transactional = set(result.add(transactional))
    result.accepted |= result.transactional
    result.tried |= result.accepted
    for name, plan in plans.items():
        order = result.add(plan)
        for number, accepted in journal(deployment.emitter(name)):
            result.tried.add(order[number])
            if accepted:
                result.accepted.add(order[number])
            else:
                result.tries_refused += 1
    return result


def stored_ids(url: str) -> set[str]:
    with psycopg.connect(url) as connection:
        return {row[0] for row in connection.execute("select event_id::text from stumble_derived.events")}


def until_steady(find_differences: Callable[[], list[str]], seconds: float, poll: Callable[[], None]) -> list[str]:
    """Call ``find_differences`` until it returns no differences; returns those that remain after ``seconds``."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            wrong = find_differences()
        except psycopg.OperationalError as error:
            wrong = [f"the store is unavailable: {error}"]
        if not wrong or time.monotonic() > deadline:
            return wrong
        pause = time.monotonic() + 0.5
        while time.monotonic() < pause:
            poll()
            time.sleep(0.05)


class Auditor:
    """Checks one run; calls ``poll`` repeatedly while it waits, to restart ended roles."""

    def __init__(
        self, deployment: Deployment, plans: dict[str, Plan], transactional: Plan, injector: FaultInjector,
        poison: dict[tuple[int, int], bytes], poll: Callable[[], None], timeout: float,
    ) -> None:  # fmt: skip
        self._deployment = deployment
        self._url = deployment.database_url
        self._kafka = deployment.kafka.bootstrap_servers
        self._emitted = emitted(deployment, plans, transactional)
        self._losses = deployment.database.losses
        self._damaged = injector.damaged
        self._on_dead_host, self._on_live_host = injector.on_dead_host, injector.on_live_host
        for one in (self._on_dead_host, self._on_live_host):
            self._expect(one.events)
        self._uncommitted: set[str] = set()
        self._unsent_on_dead_host = damage.waiting(deployment.outbox(deployment.cast.permanently_dead))
        self._poison = poison
        self._poll = poll
        self._timeout = timeout
        self.checks: list[Check] = []

    def _expect(self, events: list[dict[str, Any]]) -> None:
        ids = {event["event_id"]: event for event in events}
        self._emitted.events.update(ids)
        self._emitted.accepted |= ids.keys()
        self._emitted.tried |= ids.keys()

    def check_all(self, print_line: PrintLine) -> list[Check]:
        """Run all checks; in between, destroyed and refused events are emitted again."""
        for step in (
            self._events, self._destroyed, self._refusals, self._dead_host, self._emit_again, self._repair,
            self._own_audit, self._attackers, self._topic, self._dead_letters, self._publications,
            self._downstream, self._webhooks, self._alerts, self._roles,
        ):  # fmt: skip
            check = step()
            self.checks.append(check)
            print_check(check, print_line)
        return self.checks

    def _events(self) -> Check:
        emitted_events = self._emitted

        def find_differences() -> list[str]:
            stored = stored_ids(self._url)
            lost = emitted_events.accepted - stored - self._damaged - self._unsent_on_dead_host
            self._uncommitted = self._aborted_by_kafka(lost & emitted_events.transactional)
            lost -= self._uncommitted
            extra = stored - emitted_events.accepted
            return [f"lost: {self._describe(one)}" for one in sorted(lost)] + [f"extra: {one}" for one in extra]

        wrong = until_steady(find_differences, self._timeout, self._poll)
        summary = f"{len(emitted_events.accepted)} accepted of {len(emitted_events.events)}, "
        summary += f"{len(stored_ids(self._url))} stored"
        if self._uncommitted:
            summary += f"; {len(self._uncommitted)} of committed transactions are aborted in the topic"
        return Check("events: none missing, none extra", summary, wrong)

    def _aborted_by_kafka(self, event_ids: set[str]) -> set[str]:
        """Return those of committed events that no consumer gets.

        A broker that is killed when it has noted a commit, and not yet ended the transaction in each partition, may
        take a partition whose leader it does not know yet at the next start for a deleted one (Kafka's
        TransactionMarkerChannelManager.scala, KAFKA-5202). The records stay open there, and the producer's
        next transaction, if it is aborted, aborts them.
        """
        return event_ids - self._records_by_id().keys() if event_ids else set()

    def _records_by_id(self) -> Counter[str]:
        """Return how many records of each event a consumer gets from the topic."""
        decoder = Decoder(EVENT)
        return Counter(
            decoder.decode(message.value() or b"", headers_of(message))["event_id"]
            for message in reading.read_topics(self._kafka, [Topics("").actions])
            if (message.partition(), message.offset()) not in self._poison
        )

    def _describe(self, event_id: str) -> str:
        event = self._emitted.events[event_id]
        names = ("occurred_at", "request_id", "instance_uuid", "phase")
        return f"{event_id} " + " ".join(f"{name}={event.get(name)}" for name in names)

    def _destroyed(self) -> Check:
        """Count the damaged events and those left on the dead host; `_events` checks that no other is missing."""
        stored = stored_ids(self._url)
        missing, unsent = self._damaged - stored, self._unsent_on_dead_host - stored
        quarantined = sum(
            len(list((self._deployment.outbox(host) / "relay" / "quarantine").glob("*.bin")))
            for host in self._deployment.cast.hosts
        )
        summary = (
            f"{len(self._damaged)} damaged, {len(missing)} of them missing, {quarantined} pieces in quarantine; "
            f"{len(unsent)} on the dead host"
        )
        return Check("destroyed events", summary, [])

    def _refusals(self) -> Check:
        """Counters of refusals reach the store; kill -9 may lose the count of the refusal in progress."""
        expected = self._emitted.tries_refused

        def find_differences() -> list[str]:
            (refused,) = self._one("select coalesce(sum(refused_total), 0)::bigint from stumble_durable.producers")
            slack = 3  # kills of an emitter between a refusal and its journal entry
            return [] if expected <= refused <= expected + slack else [f"counted {refused}, not {expected}"]

        wrong = until_steady(find_differences, self._timeout, self._poll)
        return Check(
            "refused events, as producers count them", f"{expected} tries, {len(self._emitted.refused)} events", wrong
        )

    def _dead_host(self) -> Check:
        """Requests in progress on the dead host stall after the configured time; those on other hosts do not."""

        def find_differences() -> list[str]:
            wrong = []
            for unfinished, expected in ((self._on_dead_host, "STALLED"), (self._on_live_host, "IN_PROGRESS")):
                rows = self._all(
                    "select outcome, evidence from stumble_derived.requests where request_key = any(%s::uuid[])",
                    unfinished.keys(),
                )
                wrong += [f"{unfinished.host}: {len(rows)} requests"] if len(rows) != len(unfinished.requests) else []
                wrong += [f"{unfinished.host}: {row[0]}" for row in rows if row[0] != expected]
                if expected == "STALLED":
                    prefix = f"no reports from {unfinished.host} since "
                    wrong += [f"evidence: {row[1]}" for row in rows if not str(row[1]).startswith(prefix)]
            return wrong

        wrong = until_steady(find_differences, self._timeout, self._poll)
        (early,) = self._one(
            "select count(*) from stumble_durable.decisions d, stumble_durable.producers p where d.kind = 'STALLED'"
            f" and p.host = '{self._on_dead_host.host}' and p.process = 'relay'"
            f" and d.decided_at < p.reported_at + interval '{SILENT_AFTER} s'"
        )
        wrong += [f"{early} stalled too early"] if early else []
        (others,) = self._one("select count(*) from stumble_durable.decisions")
        wrong += (
            [f"{others - len(self._on_dead_host.requests)} other decisions"]
            if others != len(self._on_dead_host.requests)
            else []
        )
        dead, live = self._on_dead_host, self._on_live_host
        summary = f"{len(dead.requests)} of {dead.host} stalled, {len(live.requests)} of {live.host} did not"
        return Check("one host dead permanently", summary, wrong)

    def _emit_again(self) -> Check:
        """Emit destroyed and refused events again: then the store must equal the truth exactly."""
        missing = self._emitted.events.keys() - stored_ids(self._url)
        host = self._deployment.cast.hosts[0]
        emitter = Emitter(self._deployment.outbox(host), service="repair", host=host)
        self._on_live_host.end()
        self._expect(self._on_live_host.events)
        self._emitted.truths += [*self._on_live_host.truths("SUCCEEDED"), *self._on_dead_host.truths("STALLED")]
        wrong = [f"not accepted: {one}" for one in missing if not emitter.emit(self._emitted.events[one])]

        def find_differences() -> list[str]:
            with psycopg.connect(self._url, autocommit=True) as connection:
                return differences(connection, self._emitted.truths)

        wrong += until_steady(find_differences, self._timeout, self._poll)
        failures = sum(len(one["failures"]) for one in self._emitted.truths)
        summary = f"{len(self._emitted.truths)} requests, {failures} failures; {len(missing)} events emitted again"
        return Check("requests, failures, outcomes, counters, problems = truth", summary, wrong)

    def _repair(self) -> Check:
        """Withdraw what was published from commits that the store has lost, as docs/operations.md says."""
        lost = sum(loss.end - loss.begin for loss in self._losses)
        done = self._deployment.ask("audit", "--wait", "30", "--repair") if self._losses else None
        lines = (done.stderr + done.stdout).splitlines() if done else []
        wrong = [f"status {done.returncode}", *lines] if done and done.returncode else []
        repaired = next((line for line in lines if "repaired" in line), "Nothing had to be repaired.")
        summary = f"{len(self._losses)} restores and failovers, commits of {lost:.0f} s lost. {repaired}"
        return Check("stumble audit --repair after the losses", summary, wrong)

    def _own_audit(self) -> Check:
        """`stumble audit` must find no difference either."""
        done = self._deployment.ask("audit", "--wait", "30")
        lines = done.stdout.splitlines() or done.stderr.splitlines()
        wrong = [] if done.returncode == 0 else [f"status {done.returncode}", *lines]
        return Check("stumble audit finds no difference", lines[-1] if lines else "no output", wrong)

    def _attackers(self) -> Check:
        """The relay rejected the forged events of the compromised service, and nothing of the attackers was stored."""
        cast = self._deployment.cast
        folder = self._deployment.outbox(cast.attacked) / RELAY
        rejected = [row for row in read_rejected(folder) if hostile.VICTIM in row["reason"]]
        wrong = [] if rejected else ["no forged event was rejected"]
        for query, rows_of in (
            ("select count(*) from stumble_durable.producers where host = %s", "processes"),
            ("select count(*) from stumble_durable.bridged_hosts where host = %s", "hosts of bridges"),
            ("select count(*) from stumble_derived.failures where host = %s", "failures"),
        ):
            (rows,) = self._all(query, hostile.VICTIM)[0]
            wrong += [f"{rows} {rows_of} of {hostile.VICTIM} are stored"] if rows else []
        return Check(f"attackers on {cast.attacked} change nothing", f"{len(rejected)} forged events rejected", wrong)

    def _topic(self) -> Check:
        """The topic holds exactly the events of the store; repeated records are allowed (at least once)."""
        counts = self._records_by_id()
        stored = stored_ids(self._url)
        wrong = [f"in the topic only: {one}" for one in sorted(counts.keys() - stored)]
        wrong += [f"in the store only: {one}" for one in sorted(stored - counts.keys())]
        return Check("topic = store", f"{counts.total()} records, {len(counts)} events", wrong)

    def _dead_letters(self) -> Check:
        wrong: list[str] = []
        letters: dict[tuple[int, int], bytes] = {}
        copies = 0
        for message in reading.read_topics(self._kafka, [Topics("").dlq]):
            headers = dict(headers_of(message) or [])
            origin = tuple(int(headers[f"__stumble.errors.{name}"] or b"") for name in ("partition", "offset"))
            letters[origin[0], origin[1]] = message.value() or b""
            copies += 1
        wrong += [f"missing: {origin}" for origin in sorted(self._poison.keys() - letters.keys())]
        wrong += [f"not a bad record: {origin}" for origin in sorted(letters.keys() - self._poison.keys())]
        wrong += [f"bytes differ: {origin}" for origin in letters.keys() & self._poison.keys()
                  if letters[origin] != self._poison[origin]]  # fmt: skip
        return Check("dead letters = bad records", f"{len(self._poison)} bad, {copies} letters", wrong)

    def _publications(self) -> Check:
        def find_differences() -> list[str]:
            return self._compare_with_store(self._published())

        wrong = until_steady(find_differences, self._timeout, self._poll)
        stored = set(self._all("select subject_id::text, revision from stumble_durable.publications"))
        sent = {(one["subject"], one["revision"]) for one in self._published()}
        summary = f"{len(stored)} revisions in the store, {len(sent - stored)} that it has lost"
        return Check("topics of failures and outcomes = store", summary, wrong)

    def _published(self) -> Iterator[dict[str, Any]]:
        for one in reading.read_topics(self._kafka, [Topics("").failures, Topics("").outcomes]):
            yield reading.line(one)

    def _downstream(self) -> Check:
        def find_differences() -> list[str]:
            return self._compare_with_store(lines_of(self._deployment.folder / "downstream.jsonl"))

        wrong = until_steady(find_differences, self._timeout, self._poll)
        read = len(list(lines_of(self._deployment.folder / "downstream.jsonl")))
        return Check("records of the downstream system = store", f"{read} records read", wrong)

    def _compare_with_store(self, lines: Iterable[dict[str, Any]]) -> list[str]:
        stored = set(self._all("select subject_id::text, revision from stumble_durable.publications"))
        return check_published(lines, stored, self._emitted.truths, self._losses)

    def _webhooks(self) -> Check:
        published = "select subject_id::text, revision from stumble_durable.publications where kind = 'failure'"
        return self._check_posts(
            "webhooks: each failure, signed, one id", telling.FAILURES,
            lambda posts, secret: telling.check_failures(posts, secret, set(self._all(published)), self._losses),
        )  # fmt: skip

    def _alerts(self) -> Check:
        """The alerts that must have fired follow from the publications, not from the alerter's own rows."""
        causes = (
            "select kind, payload from stumble_durable.publications where status = 'CURRENT'"
            " and (kind = 'outcome' or not correction)"
        )
        stored = "select rule, problem, state, starts_at, ends_at from stumble_durable.alerts"

        def check_alerts(posts: list[dict[str, Any]], secret: str) -> list[str]:
            alerts = [telling.Alert(*row) for row in self._all(stored)]
            return telling.check_alerts(posts, secret, alerts, telling.required_alerts(self._all(causes)), self._losses)

        return self._check_posts("webhooks: each alert fires, then is resolved, one id", telling.ALERTS, check_alerts)

    def _check_posts(self, name: str, path: str, check: Callable[[list[dict[str, Any]], str], list[str]]) -> Check:
        """Check the posts to a path."""

        def posts() -> list[dict[str, Any]]:
            return [post for post in lines_of(self._deployment.folder / "webhooks.jsonl") if post["path"] == path]

        wrong = until_steady(lambda: check(posts(), self._deployment.secrets[path]), self._timeout, self._poll)
        received = posts()
        refused = sum(post["status"] != telling.ACCEPTED for post in received)
        ids = len({post["headers"]["webhook-id"] for post in received})
        return Check(name, f"{len(received)} posts, {refused} refused, {ids} ids", wrong)

    def _roles(self) -> Check:
        ended = [line for role in self._deployment.roles.values() for line in role.ended]
        deadlocks = self._deployment.database.deadlocks()
        wrong = ended + ([f"{deadlocks} deadlocks"] if deadlocks else [])
        return Check("no role ended by itself, no deadlock", f"{len(self._deployment.roles)} roles", wrong)

    def _one(self, query: str) -> tuple[Any, ...]:
        return self._all(query)[0]

    def _all(self, query: str, *parameters: Any) -> list[tuple[Any, ...]]:
        with psycopg.connect(self._url) as connection:
            return connection.execute(query, parameters or None).fetchall()


def lines_of(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the complete lines of a JSON file; a receiver that was killed may have written a partial line."""
    for line in path.read_bytes().splitlines():
        try:
            yield json.loads(line)
        except ValueError:
            continue
