"""The judges of the chaos test: what lost commits excuse, and which health was right."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from stumble.alerts.receivers.webhooks import signed_headers
from stumble.alerts.subscriptions import new_secret
from stumble.wire.ids import publication_event_id
from tests.chaos import schedule, telling
from tests.chaos.database import Loss
from tests.chaos.health import Answer, Interruption, judge
from tests.chaos.run import SHORT, Size, cast_of
from tests.chaos.subscribing import check_published

SECRET = new_secret()
AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
#: The store has lost the commits of these 30 seconds.
LOSS = Loss(AT.timestamp(), AT.timestamp() + 30)
SUBJECT = "00000000-0000-4000-8000-000000000001"
OTHER = "00000000-0000-4000-8000-000000000002"


def failure_post(revision_at: float, received_at: float) -> dict:
    """Return a post about a failure whose transaction began at one time, and that was received at another."""
    revision = int(revision_at * 1e6)
    body = json.dumps({"data": {"failure_id": SUBJECT, "revision": revision}})
    headers = signed_headers(publication_event_id(SUBJECT, revision), AT, body.encode(), [SECRET])
    return {"headers": headers, "body": body, "status": telling.ACCEPTED, "at": received_at}


def published(at: float) -> set[tuple[str, int]]:
    return {(SUBJECT, int(at * 1e6))}


@pytest.mark.parametrize(
    ("revision_at", "received", "is_stored", "error"),
    [
        (LOSS.begin - 40, [LOSS.begin - 39], True, ""),
        (LOSS.begin - 40, [LOSS.begin + 1], True, "never delivered"),  # the store does not know that it was delivered
        (LOSS.begin - 40, [LOSS.begin + 1, LOSS.end + 1], True, ""),
        (LOSS.begin + 10, [LOSS.begin + 11], False, ""),
        (LOSS.begin - 40, [LOSS.begin - 39], False, "never published"),
        (LOSS.end + 10, [LOSS.end + 11], False, "never published"),
    ],
)
def test_only_lost_revisions_may_be_received_that_the_store_has_not(
    revision_at: float, received: list[float], is_stored: bool, error: str
) -> None:
    posts = [failure_post(revision_at, at) for at in received]
    stored = published(revision_at) if is_stored else set()
    wrong = telling.check_failures(posts, SECRET, stored, [LOSS])
    assert (error in "\n".join(wrong)) if error else not wrong, wrong


def record(revision_at: float, outcome: str = "FAILED", subject: str = SUBJECT, **changed: object) -> dict:
    """Return a record of the request's outcome, as the downstream system notes it."""
    revision = int(revision_at * 1e6)
    ids = {"subject": subject, "revision": revision, "ce_id": publication_event_id(subject, revision)}
    return {"kind": "outcome", "status": "CURRENT", "outcome": outcome, "content": outcome, **ids, **changed}


OLD, LOST, NEW = LOSS.begin - 40, LOSS.begin + 10, LOSS.end + 10


@pytest.mark.parametrize(
    ("records", "stored", "error"),
    [
        ([record(OLD, "STALLED"), record(LOST, "SUCCEEDED"), record(NEW)], [OLD, NEW], ""),
        ([record(OLD, "STALLED"), record(LOST, "FAILED")], [OLD], "the highest revision of"),  # no correction followed
        ([record(NEW), record(LOST, subject=OTHER, status="SUPERSEDED")], [NEW], ""),  # withdrawn before the loss
        ([record(NEW), record(LOST, subject=OTHER)], [NEW], "the highest revision of"),
        ([record(OLD, "STALLED"), record(NEW)], [OLD, LOST, NEW], "never published"),
        ([record(OLD, "STALLED"), record(NEW)], [NEW], "not in the store"),
        ([record(LOST, "STALLED"), record(LOST), record(NEW)], [NEW], "several contents"),
        ([record(NEW, "STALLED")], [NEW], "not those of the truth"),
        ([record(NEW, ce_id="x")], [NEW], "has ids"),
    ],
)
def test_subscriber_must_end_with_the_revisions_of_the_store(
    records: list[dict], stored: list[float], error: str
) -> None:
    truths = [{"request_key": SUBJECT, "outcome": "FAILED", "failures": []}]
    wrong = check_published(records, {(SUBJECT, int(at * 1e6)) for at in stored}, truths, [LOSS])
    assert (error in "\n".join(wrong)) if error else not wrong, wrong


OUTAGE = Interruption("kill", "broker", 100, 200)
SILENCE = Interruption("pause", "database", 100, 200)
START = Interruption("no answer of", "broker", 100, 200)


@pytest.mark.parametrize(
    ("at", "role", "path", "is_healthy", "interruption", "is_right"),
    [
        (50, "projector-1", "/readyz", True, OUTAGE, True),
        (50, "projector-1", "/readyz", False, OUTAGE, False),
        (105, "projector-1", "/readyz", True, OUTAGE, True),
        (120, "projector-1", "/readyz", True, OUTAGE, False),
        (120, "projector-1", "/readyz", False, OUTAGE, True),
        (120, "relay-host1", "/readyz", True, OUTAGE, False),
        (120, "projector-1", "/healthz", False, OUTAGE, False),
        (210, "projector-1", "/readyz", False, OUTAGE, True),
        (250, "projector-1", "/readyz", False, OUTAGE, False),
        (120, "api", "/readyz", True, SILENCE, True),
        (150, "api", "/readyz", True, SILENCE, False),
        (150, "relay-host1", "/readyz", False, SILENCE, False),
        (120, "alerter", "/readyz", True, START, True),
        (220, "alerter", "/readyz", False, START, True),
        (250, "alerter", "/readyz", False, START, False),
    ],
)
def test_health_is_judged_by_what_happened(
    at: float, role: str, path: str, is_healthy: bool, interruption: Interruption, is_right: bool
) -> None:
    result = judge([Answer(at, role, path, is_healthy, "words")], [interruption])
    assert (not result.wrong) is is_right


def test_role_that_was_away_itself_has_the_same_time_to_notice_an_outage() -> None:
    started = Interruption("kill", "projector-1", 150, 155)
    answers = [Answer(at, "projector-1", "/readyz", is_healthy=True, text="words") for at in (160, 180)]
    assert len(judge(answers[:1], [OUTAGE, started]).wrong) == 0
    assert len(judge(answers[1:], [OUTAGE, started]).wrong) == 1


@pytest.mark.parametrize("size", [SHORT, Size(), Size(seconds=1800)])
@pytest.mark.parametrize("seed", range(5))
def test_no_fault_of_the_same_server_ends_an_outage(size: Size, seed: int) -> None:
    faults = schedule.plan(seed, size.seconds, cast_of(size), every=size.every)
    outages = [fault for fault in faults if fault.seconds >= 20 and fault.whom in {"broker", "database"}]
    outages = [fault for fault in outages if fault.what in {"kill", "pause"}]
    assert max(fault.seconds for fault in outages) == {80: 80 / 3, 300: 100, 1800: 600}[int(size.seconds)]
    assert len(outages) == (1 if size is SHORT else 4)
    assert {schedule.RESTORE, schedule.FAIL_OVER} <= {fault.what for fault in faults}
    for outage in outages:
        for fault in faults:
            if fault is not outage and schedule.is_same_server(outage, fault):
                assert not schedule.overlap(outage, fault)
