"""Compares the store with the simulator's truth, in full; says what differs."""

from __future__ import annotations

import json
import time
from collections import Counter
from pathlib import Path
from typing import Any

import psycopg

#: An effect that the truth doesn't insist on.
ANY = "ANY"
Requests = dict[str, tuple[object, ...]]


def truths(*files: Path) -> list[dict[str, Any]]:
    """Read truth files; a request told twice (a repeated run) counts once."""
    told = {}
    for file in files:
        for line in file.read_text(encoding="utf-8").splitlines():
            found = json.loads(line)
            told[found["request_key"]] = found
    return list(told.values())


def differences(connection: psycopg.Connection[Any], told: list[dict[str, Any]]) -> list[str]:
    """Return a line for everything in which store and truth differ."""
    return [
        *_requests(connection, told),
        *_counts(connection, told),
        *_publications(connection, told),
    ]


def assert_store_tells_truth(url: str, told: list[dict[str, Any]], seconds: float = 120, logs: str = "") -> None:
    """Wait until the store tells the truth; fails with the differences that are left after `seconds`."""
    assert told
    deadline = time.monotonic() + seconds
    while True:
        try:
            with psycopg.connect(url, autocommit=True) as connection:
                left = differences(connection, told)
        except psycopg.OperationalError as error:
            left = [f"the store is away: {error}"]
        if not left:
            return
        if time.monotonic() > deadline:
            shown = "\n".join(left[:20])
            raise AssertionError(f"{len(left)} differences after {seconds:.0f} s:\n{shown}\n{logs}")
        time.sleep(0.5)


def _requests(connection: psycopg.Connection[Any], told: list[dict[str, Any]]) -> list[str]:
    wanted: Requests = {
        one["request_key"]: (
            one["instance_uuid"],
            one["request_id"],
            one["action"],
            one["outcome"],
            one["verdict"],
            tuple(sorted((each["failure_id"], each["host"], each["exception"]) for each in one["failures"])),
        )
        for one in told
    }
    effects = {one["request_key"]: one["effect"] for one in told}
    failures: dict[str, list[tuple[str, ...]]] = {}
    for key, *failure in connection.execute(
        "select request_key::text, failure_id::text, host, exception from stumble_derived.failures"
    ):
        failures.setdefault(key, []).append(tuple(failure))
    found: Requests = {}
    lines = []
    for key, effect, *row in connection.execute(
        "select request_key::text, effect, instance_uuid::text, request_id, action, outcome, verdict"
        " from stumble_derived.requests"
    ):
        found[key] = (*row, tuple(sorted(failures.pop(key, []))))
        if effect not in {effects.get(key), "UNKNOWN"} and effects.get(key) != ANY:
            lines.append(f"effect of {key}: {effect}, not {effects.get(key)}")
    lines += [f"not in the store: {wanted[key]}" for key in sorted(wanted.keys() - found.keys())]
    lines += [f"only in the store: {found[key]}" for key in sorted(found.keys() - wanted.keys())]
    lines += [f"failures without request: {orphans}" for orphans in failures.values()]
    both = wanted.keys() & found.keys()
    return lines + [f"{found[key]} should be {wanted[key]}" for key in sorted(both) if found[key] != wanted[key]]


def _counts(connection: psycopg.Connection[Any], told: list[dict[str, Any]]) -> list[str]:
    """Compare what is counted: events stored, counters entered less left."""
    counted: Counter[tuple[str, ...]] = Counter()
    for metric, labels, value in connection.execute(
        "select metric, labels, sum(value)::bigint from stumble_durable.counters group by 1, 2"
    ):
        counted[metric, *labels] += value
    lines = []
    wanted = Counter((one["action"], one["outcome"]) for one in told)
    net: Counter[tuple[str, ...]] = Counter()
    for (metric, *labels), value in counted.items():
        if metric in {"requests", "requests_withdrawn"}:
            net[tuple(labels)] += value if metric == "requests" else -value
    lines += [f"counted {labels}: {net[labels]}, not {wanted[labels]}" for labels in net | wanted
              if net[labels] != wanted[labels]]  # fmt: skip
    failures = sum(len(one["failures"]) for one in told)
    entered = sum(value for (metric, *_), value in counted.items() if metric == "failures")
    left = sum(value for (metric, *_), value in counted.items() if metric == "failures_withdrawn")
    (events,) = connection.execute("select count(*) from stumble_derived.events").fetchone()
    for name, found, right in (
        ("failures counted", entered - left, failures),
        ("requests open", sum(value for (metric, *_), value in counted.items() if metric == "open"), 0),
        ("events stored", events, sum(one["events"] for one in told)),
    ):
        if found != right:
            lines.append(f"{name}: {found}, not {right}")
    return lines


def _publications(connection: psycopg.Connection[Any], told: list[dict[str, Any]]) -> list[str]:
    """The last revisions that are current must be the truth's failures and outcomes; revisions have no gap."""
    current: dict[str, set[str]] = {"failure": set(), "outcome": set()}
    lines = []
    for kind, subject, status, revision, count in connection.execute(
        "select kind, subject_id::text, (array_agg(status order by revision desc))[1], max(revision), count(*)"
        " from stumble_durable.publications group by 1, 2"
    ):
        if revision != count:
            lines.append(f"{kind} {subject} has {count} publications up to revision {revision}")
        if status == "CURRENT":
            current[kind].add(subject)
    wanted = {
        "failure": {each["failure_id"] for one in told for each in one["failures"]},
        "outcome": {one["request_key"] for one in told},
    }
    for kind, subjects in wanted.items():
        if current[kind] != subjects:
            missing, extra = len(subjects - current[kind]), len(current[kind] - subjects)
            lines.append(f"{kind}s published: {missing} missing, {extra} too many")
    return lines
