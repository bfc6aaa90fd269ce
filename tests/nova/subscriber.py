"""A subscriber to the topics of failures and outcomes, and the comparison of its records with the store."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from stumble.wire.codec import Decoder
from stumble.wire.schemas import latest_schema
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


def latest_records(records: Iterable[evidence.Record], decoder: Decoder, key: str) -> Rows:
    """Return the records of a subscriber that stores the highest revision of each id; the order does not matter."""
    latest_by_id: Rows = {}
    for record in records:
        assert record.value is not None
        message = decoder.decode(record.value, record.headers)
        if message["revision"] > latest_by_id.get(message[key], {"revision": 0})["revision"]:
            latest_by_id[message[key]] = message
    return {name: message for name, message in latest_by_id.items() if message["status"] == "CURRENT"}


def differences(latest_by_id: Rows, stored: Rows, fields: Iterable[str]) -> list[str]:
    """Return the differences between a subscriber's records and the store's."""
    wrong = [f"{key}: not stored" for key in latest_by_id.keys() - stored.keys()]
    wrong += [f"{key}: never sent" for key in stored.keys() - latest_by_id.keys()]
    for key in latest_by_id.keys() & stored.keys():
        wrong += [
            f"{key}: {name} is {latest_by_id[key][name]!r} there and {stored[key][name]!r} here"
            for name in fields
            if latest_by_id[key][name] != stored[key][name]
        ]
    return wrong


class SentAndStored:
    """The sent and the stored records, by id."""

    def __init__(self, topics: Mapping[str, Iterable[evidence.Record]], store: Mapping[str, Any]) -> None:
        [failures] = (records for name, records in topics.items() if name.endswith("-failures"))
        [outcomes] = (records for name, records in topics.items() if name.endswith("-outcomes"))
        self.sent_failures = latest_records(failures, Decoder(latest_schema("stumble.ActionFailed")), "failure_id")
        self.sent_outcomes = latest_records(outcomes, Decoder(latest_schema("stumble.ActionOutcome")), "request_key")
        self.failures: Rows = {row["failure_id"]: row for row in store["failures"]}
        self.requests: Rows = {row["request_key"]: row for row in store["requests"]}
        self.published = {row["subject_id"] for row in store["publications"] if row["kind"] == "outcome"}


def assert_sent_equals_stored(records: SentAndStored, selected: Callable[[Mapping[str, Any]], bool]) -> None:
    """Compare the sent records of the selected requests with the stored ones."""

    def of(rows: Rows) -> Rows:
        return {key: row for key, row in rows.items() if selected(row)}

    assert differences(of(records.sent_failures), of(records.failures), FAILURE_FIELDS) == []
    requests = {
        key: row
        for key, row in of(records.requests).items()
        if row["outcome"] != "IN_PROGRESS"
        or key in records.published  # a request that has only started is not published
    }
    assert differences(of(records.sent_outcomes), requests, OUTCOME_FIELDS) == []
    failures: dict[str, set[str]] = {key: set() for key in requests}
    for key, row in of(records.failures).items():
        if row["request_key"] in failures:  # a request in progress that has failed once is not published either
            failures[row["request_key"]].add(key)
    assert {key: set(message["failure_ids"]) for key, message in of(records.sent_outcomes).items()} == failures
