"""Compares the whole store with the simulator's truth; returns the differences."""

from __future__ import annotations

import json
import time
from collections import Counter
from pathlib import Path
from typing import Any

import psycopg

#: In the truth: any effect is accepted.
ANY = "ANY"
Requests = dict[str, tuple[object, ...]]


def read_truths(*files: Path) -> list[dict[str, Any]]:
    """Read truth files; a request that occurs twice (a repeated run) counts once."""
    requests = {}
    for file in files:
        for line in file.read_text(encoding="utf-8").splitlines():
            request = json.loads(line)
            requests[request["request_key"]] = request
    return list(requests.values())


def differences(connection: psycopg.Connection[Any], truth: list[dict[str, Any]]) -> list[str]:
    """Return a line for each difference between store and truth."""
    return [
        *_requests(connection, truth),
        *_counts(connection, truth),
        *_publications(connection, truth),
    ]


def assert_store_matches_truth(url: str, truth: list[dict[str, Any]], seconds: float = 120, logs: str = "") -> None:
    """Wait until the store matches the truth; fails with the differences that remain after `seconds`."""
    assert truth
    deadline = time.monotonic() + seconds
    while True:
        try:
            with psycopg.connect(url, autocommit=True) as connection:
                remaining = differences(connection, truth)
        except psycopg.OperationalError as error:
            remaining = [f"the store is unavailable: {error}"]
        if not remaining:
            return
        if time.monotonic() > deadline:
            first = "\n".join(remaining[:20])
            raise AssertionError(f"{len(remaining)} differences after {seconds:.0f} s:\n{first}\n{logs}")
        time.sleep(0.5)


def _requests(connection: psycopg.Connection[Any], truth: list[dict[str, Any]]) -> list[str]:
    expected: Requests = {
        one["request_key"]: (
            one["instance_uuid"],
            one["request_id"],
            one["action"],
            one["outcome"],
            one["verdict"],
            tuple(sorted((each["failure_id"], each["host"], each["exception"]) for each in one["failures"])),
        )
        for one in truth
    }
    effects = {one["request_key"]: one["effect"] for one in truth}
    failures: dict[str, list[tuple[str, ...]]] = {}
    for key, *failure in connection.execute(
        "select request_key::text, failure_id::text, host, exception from stumble_derived.failures"
    ):
        failures.setdefault(key, []).append(tuple(failure))
    stored: Requests = {}
    lines = []
    for key, effect, *row in connection.execute(
        "select request_key::text, effect, instance_uuid::text, request_id, action, outcome, verdict"
        " from stumble_derived.requests"
    ):
        stored[key] = (*row, tuple(sorted(failures.pop(key, []))))
        if effect not in {effects.get(key), "UNKNOWN"} and effects.get(key) != ANY:
            lines.append(f"effect of {key}: {effect}, not {effects.get(key)}")
    lines += [f"not in the store: {expected[key]}" for key in sorted(expected.keys() - stored.keys())]
    lines += [f"only in the store: {stored[key]}" for key in sorted(stored.keys() - expected.keys())]
    lines += [f"failures without request: {rows}" for rows in failures.values()]
    both = expected.keys() & stored.keys()
    return lines + [f"{stored[key]} should be {expected[key]}" for key in sorted(both) if stored[key] != expected[key]]


def _counts(connection: psycopg.Connection[Any], truth: list[dict[str, Any]]) -> list[str]:
    """Compare the counts: stored events, and counters entered minus withdrawn."""
    counted: Counter[tuple[str, ...]] = Counter()
    for metric, labels, value in connection.execute(
        "select metric, labels, sum(value)::bigint from stumble_durable.counters group by 1, 2"
    ):
        counted[metric, *labels] += value
    lines = []
    expected: Counter[tuple[str, ...]] = Counter((one["action"], one["outcome"]) for one in truth)
    net: Counter[tuple[str, ...]] = Counter()
    for (metric, *labels), value in counted.items():
        if metric in {"requests", "requests_withdrawn"}:
            net[tuple(labels)] += value if metric == "requests" else -value
    lines += [f"counted {labels}: {net[labels]}, not {expected[labels]}" for labels in net.keys() | expected.keys()
              if net[labels] != expected[labels]]  # fmt: skip
    failures = sum(len(one["failures"]) for one in truth)
    entered = sum(value for (metric, *_), value in counted.items() if metric == "failures")
    withdrawn = sum(value for (metric, *_), value in counted.items() if metric == "failures_withdrawn")
    [(events,)] = connection.execute("select count(*) from stumble_derived.events").fetchall()
    for name, actual, should_be in (
        ("failures counted", entered - withdrawn, failures),
        ("requests open", sum(value for (metric, *_), value in counted.items() if metric == "open"), 0),
        ("events stored", events, sum(one["events"] for one in truth)),
    ):
        if actual != should_be:
            lines.append(f"{name}: {actual}, not {should_be}")
    return lines


def _publications(connection: psycopg.Connection[Any], truth: list[dict[str, Any]]) -> list[str]:
    """Compare the current last revisions with the truth's failures and outcomes; all but the first are corrections."""
    current: dict[str, set[str]] = {"failure": set(), "outcome": set()}
    lines = []
    for kind, subject, status, count in connection.execute(
        "select kind, subject_id::text, (array_agg(status order by revision desc))[1],"
        " count(*) filter (where not correction)"
        " from stumble_durable.publications group by 1, 2"
    ):
        if count != 1:
            lines.append(f"{kind} {subject} has {count} publications that are no corrections")
        if status == "CURRENT":
            current[kind].add(subject)
    expected = {
        "failure": {each["failure_id"] for one in truth for each in one["failures"]},
        "outcome": {one["request_key"] for one in truth},
    }
    for kind, subjects in expected.items():
        if current[kind] != subjects:
            missing, extra = len(subjects - current[kind]), len(current[kind] - subjects)
            lines.append(f"{kind}s published: {missing} missing, {extra} too many")
    return lines
