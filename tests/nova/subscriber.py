"""A subscriber to the topics of failures and outcomes, and the comparison of what it holds with the store."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from stumble.wire.codec import Decoder
from stumble.wire.schemas import latest
from tests.nova import evidence

Rows = dict[str, dict[str, Any]]
_OF_THE_REQUEST = ("action", "request_id", "owner_project_id", "display_name", "target_kind", "target_id", "cell")
FAILURE_FIELDS = (
    *("request_key", "instance_uuid", "host", "node", "step", "attempt", "exception", "code", "reason", "blame"),
    *("retryable", "effect", "fingerprint", "region", "availability_zone", *_OF_THE_REQUEST),
)
OUTCOME_FIELDS = (
    *("instance_uuid", "global_request_id", "initiator_user_id", "initiator_project_id", "cloud", "outcome"),
    *("verdict", "reason", "effect", "linked_request_key", "region", "availability_zone", *_OF_THE_REQUEST),
)


def subscriber(records: Iterable[evidence.Record], decoder: Decoder, key: str) -> Rows:
    """Return what a subscriber holds that keeps the highest revision of each id, in whatever order they come."""
    held: Rows = {}
    for record in records:
        said = decoder.decode(record.value, record.headers)
        if said["revision"] > held.get(said[key], {"revision": 0})["revision"]:
            held[said[key]] = said
    return {name: said for name, said in held.items() if said["status"] == "CURRENT"}


def differences(held: Rows, stored: Rows, fields: Iterable[str]) -> list[str]:
    """Say in what a subscriber's records differ from the store's."""
    wrong = [f"{key}: not stored" for key in held.keys() - stored.keys()]
    wrong += [f"{key}: never sent" for key in stored.keys() - held.keys()]
    for key in held.keys() & stored.keys():
        wrong += [
            f"{key}: {name} is {held[key][name]!r} there and {stored[key][name]!r} here"
            for name in fields
            if held[key][name] != stored[key][name]
        ]
    return wrong


class Kept:
    """What was sent and what is stored, by id."""

    def __init__(self, topics: Mapping[str, Iterable[evidence.Record]], store: Mapping[str, Any]) -> None:
        [failures] = (found for name, found in topics.items() if name.endswith("-failures"))
        [outcomes] = (found for name, found in topics.items() if name.endswith("-outcomes"))
        self.sent_failures = subscriber(failures, Decoder(latest("stumble.ActionFailed")), "failure_id")
        self.sent_outcomes = subscriber(outcomes, Decoder(latest("stumble.ActionOutcome")), "request_key")
        self.failures: Rows = {row["failure_id"]: row for row in store["failures"]}
        self.requests: Rows = {row["request_key"]: row for row in store["requests"]}
        self.published = {row["subject_id"] for row in store["publications"] if row["kind"] == "outcome"}


def assert_equal(kept: Kept, wanted: Callable[[Mapping[str, Any]], bool]) -> None:
    """Compare what was sent of the wanted requests with what is stored of them."""

    def of(rows: Rows) -> Rows:
        return {key: row for key, row in rows.items() if wanted(row)}

    assert differences(of(kept.sent_failures), of(kept.failures), FAILURE_FIELDS) == []
    requests = {
        key: row
        for key, row in of(kept.requests).items()
        if row["outcome"] != "IN_PROGRESS" or key in kept.published  # what only began is not announced
    }
    assert differences(of(kept.sent_outcomes), requests, OUTCOME_FIELDS) == []
    failures: dict[str, set[str]] = {key: set() for key in requests}
    for key, row in of(kept.failures).items():
        if row["request_key"] in failures:  # a request in flight that has failed once is not announced either
            failures[row["request_key"]].add(key)
    assert {key: set(said["failure_ids"]) for key, said in of(kept.sent_outcomes).items()} == failures
