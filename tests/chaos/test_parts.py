"""The parts of the chaos test: schedules repeat, proxies inject faults, damage returns the affected events."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

import pytest

from stumble.alerts.receivers.webhooks import signed_headers
from stumble.alerts.subscriptions import new_secret
from stumble.emitter import Emitter
from stumble.local.ports import free_port
from stumble.outbox.folders import outbox_folders, segment_path
from stumble.wire.ids import alert_event_id
from tests.chaos import damage, schedule, telling
from tests.chaos.database import Loss
from tests.chaos.fleet import Plan, Shift, planned_events, truths
from tests.chaos.proxy import Proxies, Proxy
from tests.chaos.run import SHORT, cast_of

PLAN = Plan(7, 1_790_000_000_000_000, 5, 4, (Shift(1, 3, -40),))


def test_schedule_of_a_seed_repeats_and_has_every_kind_of_fault(tmp_path: Path) -> None:
    cast = cast_of(SHORT)
    faults = schedule.plan(5, 60, cast, every=2)
    assert faults == schedule.plan(5, 60, cast, every=2)
    assert faults != schedule.plan(6, 60, cast, every=2)
    assert {"kill", "pause", "poison", "stop", "fill the disk of"} <= {fault.what for fault in faults}
    assert {"broker", "database", "alerter", "reader", "receiver"} <= {f.whom for f in faults if f.what == "kill"}
    schedule.save(tmp_path / "s", faults)
    assert schedule.load(tmp_path / "s") == faults


def test_stream_repeats_and_a_wrong_clock_shifts_ids_with_times(tmp_path: Path) -> None:
    PLAN.save(tmp_path / "plan")
    repeated = list(planned_events(Plan.load(tmp_path / "plan")))
    assert repeated == list(planned_events(PLAN))
    unshifted = {one.event["source"]["message_id"]: one.event for one in planned_events(Plan(7, PLAN.start_us, 5, 4))}
    unshifted_ids = {event["event_id"] for event in unshifted.values()}
    moved = [one.event for one in repeated if one.event["event_id"] not in unshifted_ids]
    assert moved
    for event in moved:
        assert event["occurred_at"] == unshifted[event["source"]["message_id"]]["occurred_at"] - 40_000_000
    assert truths(PLAN) == truths(Plan(7, PLAN.start_us, 5, 4))


@pytest.fixture
def echo_proxy() -> Iterator[tuple[Proxy, int]]:
    """A proxy in front of an echo server."""
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                one, _ = server.accept()
            except OSError:
                return
            threading.Thread(target=echo, args=(one,), daemon=True).start()

    def echo(one: socket.socket) -> None:
        with one:
            try:
                while data := one.recv(100):
                    one.sendall(data)
            except OSError:
                return

    threading.Thread(target=serve, daemon=True).start()
    proxies = Proxies()
    port = free_port()
    try:
        yield proxies.add("echo", port, server.getsockname()[1]), port
    finally:
        proxies.close()
        server.close()


def test_proxy_stalls_resumes_resets_and_refuses_connections(echo_proxy: tuple[Proxy, int]) -> None:
    proxy, port = echo_proxy
    with socket.create_connection(("127.0.0.1", port), 10) as one:
        assert _exchange(one) == b"x"
        proxy.set("stall")
        one.settimeout(0.5)
        with pytest.raises(TimeoutError):
            _exchange(one)
        proxy.set("pass")
        one.settimeout(20)
        assert one.recv(1) == b"x"
        proxy.set("reset")
        with pytest.raises(ConnectionError):  # the class depends on whether the reset arrives before the data is sent
            _exchange(one)
    with socket.create_connection(("127.0.0.1", port), 10) as other:
        assert _exchange(other) == b"x"
    proxy.set("refuse")
    with pytest.raises(ConnectionError), socket.create_connection(("127.0.0.1", port), 10) as third:
        _exchange_often(third)


def _exchange_often(one: socket.socket) -> None:
    for _ in range(100):
        _exchange(one)


def _exchange(one: socket.socket) -> bytes:
    one.sendall(b"x")
    reply = one.recv(1)
    if not reply:
        raise ConnectionResetError
    return reply


@pytest.mark.parametrize("inflict", [damage.flip, damage.tear])
def test_damage_returns_the_affected_events(tmp_path: Path, inflict) -> None:
    emitter = Emitter(tmp_path, service="s", host="h")
    ids = [one.event["event_id"] for one in planned_events(PLAN) if emitter.emit(one.event)]
    (folder,) = outbox_folders(str(tmp_path))
    affected = inflict(tmp_path, {}, Random(3))
    readable = [str(damage.event_id_of(record)) for record in damage.records(segment_path(folder.path, 1))]
    assert set(ids) - set(readable) <= affected
    assert affected


AT = datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC)
SECRET = new_secret()


def post(status: str, begin: datetime = AT, *, answer: int = 204, ends: datetime | None = None) -> dict:
    """Return a post about an alert, as the receiver writes it."""
    data = {"rule": "r", "problem": "v1:x", "status": status, "startsAt": begin.isoformat()}
    body = json.dumps({"data": {**data, "endsAt": ends.isoformat() if ends else None}})
    micros = (begin - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    message = alert_event_id("r", "v1:x", micros, status)
    headers = signed_headers(message, AT, body.encode(), [SECRET])
    return {"headers": headers, "body": body, "status": answer}


LATER, END = AT + timedelta(seconds=9), AT + timedelta(seconds=20)
FIRES, RESOLVED = post("firing"), post("resolved", ends=AT + timedelta(seconds=7))
FIRES_AGAIN, RESOLVED_AGAIN = post("firing", LATER), post("resolved", LATER, ends=END)
REFUSED = post("resolved", ends=AT + timedelta(seconds=7), answer=503)
FORGED = {**RESOLVED, "headers": {**RESOLVED["headers"], "webhook-signature": "v1,x"}}
WRONG_ID = {**RESOLVED, "headers": {**signed_headers("another", AT, RESOLVED["body"].encode(), [SECRET])}}


@pytest.mark.parametrize(
    ("posts", "error"),
    [
        ([FIRES, REFUSED, RESOLVED, RESOLVED, FIRES_AGAIN, RESOLVED_AGAIN], ""),
        ([FIRES, REFUSED, FIRES_AGAIN, RESOLVED_AGAIN], "received ['firing'], not ['firing', 'resolved']"),
        ([RESOLVED, FIRES_AGAIN, RESOLVED_AGAIN], "received ['resolved'], not"),
        ([FIRES, RESOLVED, FIRES_AGAIN], "received ['firing'], not"),
        ([FIRES, RESOLVED], "received [], not"),
        ([RESOLVED, FIRES, FIRES_AGAIN, RESOLVED_AGAIN], "resolved was received before firing"),
        ([FIRES, RESOLVED, FIRES_AGAIN, post("resolved", LATER, ends=LATER)], "received end"),
        ([FIRES, RESOLVED, FIRES_AGAIN, RESOLVED_AGAIN, post("firing", END)], "received start"),
        ([FIRES, RESOLVED, FORGED, FIRES_AGAIN, RESOLVED_AGAIN], "wrong signature"),
        ([FIRES, WRONG_ID, FIRES_AGAIN, RESOLVED_AGAIN], "wrong id"),
        ([], "no alert is firing"),
    ],
)
def test_wrong_alert_messages_are_reported(posts: list[dict], error: str) -> None:
    last = telling.Alert("r", "v1:x", "RESOLVED", LATER, END)
    wrong = telling.check_alerts(posts, SECRET, [last], {("r", "v1:x")})
    assert (error in "\n".join(wrong)) if error else not wrong, wrong


def test_missing_alert_is_reported_and_firing_alert_needs_no_end() -> None:
    last = telling.Alert("r", "v1:x", "FIRING", LATER, None)
    assert telling.check_alerts([FIRES, RESOLVED, FIRES_AGAIN], SECRET, [last], set()) == []
    assert telling.check_alerts([FIRES, RESOLVED, FIRES_AGAIN], SECRET, [last], {("r", "v1:y")}) == [
        "never fired: ('r', 'v1:y')"
    ]
    failed = ("failure", {"fingerprint": "v1:y", "blame": "USER"})
    assert telling.required_alerts([failed]) == {("new-problem", "v1:y")}
    ended = [("outcome", {"action": "stop", "outcome": outcome}) for outcome in ("STALLED", "FAILED", "SUCCEEDED")]
    expected = {("stalled-request", "stalled:stop"), ("failed-request", "failed:stop")}
    assert telling.required_alerts(ended) == expected


def test_messages_about_lost_starts_and_ends_are_ignored_and_those_in_the_store_are_required() -> None:
    loss = Loss(LATER.timestamp() - 1, LATER.timestamp() + 5)
    before, after = LATER.timestamp() - 30, LATER.timestamp() + 30
    lost_start = {**post("firing", LATER), "at": LATER.timestamp()}
    begin = AT - timedelta(minutes=1)
    last = telling.Alert("r", "v1:x", "RESOLVED", begin, END + timedelta(minutes=1))
    fires = {**post("firing", begin), "at": before}
    lost_end = {**post("resolved", begin, ends=LATER), "at": LATER.timestamp()}
    resolved = {**post("resolved", begin, ends=last.ends_at), "at": after}
    posts = [fires, lost_end, lost_start, resolved]
    assert telling.check_alerts(posts, SECRET, [last], set(), [loss]) == []
    assert telling.check_alerts(posts[:3], SECRET, [last], set(), [loss]) != []
    assert telling.check_alerts([lost_start, *posts], SECRET, [last], set(), []) != []
