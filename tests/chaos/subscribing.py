"""Compares what a subscriber of failures and outcomes has read with the store and with the truth."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from stumble.wire.ids import publication_event_id
from tests.chaos.database import Loss
from tests.chaos.fleet import MICROS

#: A subject and a revision of it.
Revision = tuple[str, int]


def check_published(
    lines: Iterable[dict[str, Any]], stored: set[Revision], truths: list[dict[str, Any]], losses: Sequence[Loss] = ()
) -> list[str]:
    """Return the errors of the records that a subscriber has read.

    It must have each revision of the store, under its one id and with one content. The records with the highest
    revision of each subject must be those of the store and of the truth. A revision that the store does not have must
    be lost; if it has none of a subject, the subject must no longer be current: it was withdrawn before the loss.
    """
    ids: dict[Revision, set[str]] = {}
    contents: dict[Revision, set[str]] = {}
    newest: dict[str, dict[str, Any]] = {}
    for line in lines:
        subject, revision = line["subject"], line["revision"]
        ids.setdefault((subject, revision), set()).add(line["ce_id"])
        contents.setdefault((subject, revision), set()).add(line["content"])
        if revision >= newest.get(subject, line)["revision"]:
            newest[subject] = line
    last: dict[str, int] = {}
    for subject, revision in stored:
        last[subject] = max(revision, last.get(subject, 0))
    wrong = [f"never published: {one}" for one in sorted(stored - ids.keys())]
    wrong += [f"not in the store: {one}" for one in sorted(ids.keys() - stored) if not is_lost(one, losses)]
    wrong += [f"{one} has ids {each}" for one, each in ids.items() if each != {publication_event_id(*one)}]
    wrong += [f"several contents of {one}" for one, each in contents.items() if len(each) > 1]
    wrong += [
        f"the highest revision of {subject} is {one['revision']}, not {last.get(subject)}"
        for subject, one in newest.items()
        if one["revision"] != last.get(subject) and (subject in last or one["status"] == "CURRENT")
    ]
    current = {subject: one for subject, one in newest.items() if one["status"] == "CURRENT"}
    outcomes = {one["request_key"]: one["outcome"] for one in truths}
    failures = {each["failure_id"]: each["exception"] for one in truths for each in one["failures"]}
    if {subject: one["outcome"] for subject, one in current.items() if one["kind"] == "outcome"} != outcomes:
        wrong.append("the current outcomes are not those of the truth")
    if {subject: one["exception"] for subject, one in current.items() if one["kind"] == "failure"} != failures:
        wrong.append("the current failures are not those of the truth")
    return wrong


def is_lost(published: Revision, losses: Sequence[Loss]) -> bool:
    """Return whether the store may have lost a revision, which is the microsecond of its transaction's begin."""
    return any(loss.has_begun(published[1] / MICROS) for loss in losses)
