"""What chaos is made of must itself be right: schedules repeat, links break as told, damage is what it says."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

import pytest

from stumble.alerts.receivers.webhooks import signed
from stumble.alerts.subscriptions import new_secret
from stumble.emitter import Emitter
from stumble.local.ports import free_port
from stumble.outbox.folders import outbox_folders, segment_path
from stumble.wire.ids import alert_event_id
from tests.chaos import damage, schedule, telling
from tests.chaos.fleet import Plan, Shift, tell, truths
from tests.chaos.proxy import Proxies, Proxy
from tests.chaos.run import SHORT, cast_of

PLAN = Plan(7, 1_790_000_000_000_000, 5, 4, (Shift(1, 3, -40),))


def test_a_seed_gives_one_schedule_with_every_kind_in_it(tmp_path: Path) -> None:
    cast = cast_of(SHORT)
    drawn = schedule.plan(5, 60, cast, every=2)
    assert drawn == schedule.plan(5, 60, cast, every=2)
    assert drawn != schedule.plan(6, 60, cast, every=2)
    assert {"kill", "pause", "poison", "take away", "fill the disk of"} <= {fault.what for fault in drawn}
    assert {"broker", "database", "alerter", "reader", "receiver"} <= {f.whom for f in drawn if f.what == "kill"}
    schedule.save(tmp_path / "s", drawn)
    assert schedule.load(tmp_path / "s") == drawn


def test_a_stream_repeats_and_a_wrong_clock_moves_ids_with_times(tmp_path: Path) -> None:
    PLAN.save(tmp_path / "plan")
    again = list(tell(Plan.load(tmp_path / "plan")))
    assert again == list(tell(PLAN))
    right = {told.event["source"]["message_id"]: told.event for told in tell(Plan(7, PLAN.start_us, 5, 4))}
    moved = [told.event for told in again if told.event["event_id"] not in {e["event_id"] for e in right.values()}]
    assert moved
    for event in moved:
        assert event["occurred_at"] == right[event["source"]["message_id"]]["occurred_at"] - 40_000_000
    assert truths(PLAN) == truths(Plan(7, PLAN.start_us, 5, 4))


@pytest.fixture
def link() -> Iterator[tuple[Proxy, int]]:
    """A proxy before a server that echoes."""
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


def test_a_link_stalls_delays_resets_refuses_and_gets_well(link: tuple[Proxy, int]) -> None:
    proxy, port = link
    with socket.create_connection(("127.0.0.1", port), 10) as one:
        assert _ask(one) == b"x"
        proxy.set("stall")
        one.settimeout(0.5)
        with pytest.raises(TimeoutError):
            _ask(one)
        proxy.set("pass")
        one.settimeout(20)
        assert one.recv(1) == b"x"
        proxy.set("reset")
        with pytest.raises(ConnectionError):  # which one depends on whether the reset comes before what is sent
            _ask(one)
    with socket.create_connection(("127.0.0.1", port), 10) as other:
        assert _ask(other) == b"x"
    proxy.set("refuse")
    with pytest.raises(ConnectionError), socket.create_connection(("127.0.0.1", port), 10) as third:
        _ask_often(third)


def _ask_often(one: socket.socket) -> None:
    for _ in range(100):
        _ask(one)


def _ask(one: socket.socket) -> bytes:
    one.sendall(b"x")
    found = one.recv(1)
    if not found:
        raise ConnectionResetError
    return found


@pytest.mark.parametrize("hurt", [damage.flip, damage.tear])
def test_damage_tells_whom_it_hurt(tmp_path: Path, hurt) -> None:
    emitter = Emitter(tmp_path, service="s", host="h")
    ids = [told.event["event_id"] for told in tell(PLAN) if emitter.emit(told.event)]
    (place,) = outbox_folders(str(tmp_path))
    gone = hurt(tmp_path, {}, Random(3))
    left = [str(damage.event_id_of(record)) for record in damage.records(segment_path(place.path, 1))]
    assert set(ids) - set(left) <= gone
    assert gone


AT = datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC)
SECRET = new_secret()


def told(status: str, begin: datetime = AT, *, answer: int = 204, ends: datetime | None = None) -> dict:
    """A post about an alert, as the receiver keeps it."""
    data = {"rule": "r", "problem": "v1:x", "status": status, "startsAt": begin.isoformat()}
    body = json.dumps({"data": {**data, "endsAt": ends.isoformat() if ends else None}})
    micros = (begin - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    message = alert_event_id("r", "v1:x", micros, status)
    headers = signed(message, AT, body.encode(), [SECRET])
    return {"headers": headers, "body": body, "status": answer}


LATER, END = AT + timedelta(seconds=9), AT + timedelta(seconds=20)
FIRES, OVER = told("firing"), told("resolved", ends=AT + timedelta(seconds=7))
AGAIN, OVER_AGAIN = told("firing", LATER), told("resolved", LATER, ends=END)
REFUSED = told("resolved", ends=AT + timedelta(seconds=7), answer=503)
FORGED = {**OVER, "headers": {**OVER["headers"], "webhook-signature": "v1,x"}}
RENAMED = {**OVER, "headers": {**signed("another", AT, OVER["body"].encode(), [SECRET])}}


@pytest.mark.parametrize(
    ("posts", "said"),
    [
        ([FIRES, REFUSED, OVER, OVER, AGAIN, OVER_AGAIN], ""),
        ([FIRES, REFUSED, AGAIN, OVER_AGAIN], "told ['firing'], not ['firing', 'resolved']"),
        ([OVER, AGAIN, OVER_AGAIN], "told ['resolved'], not"),
        ([FIRES, OVER, AGAIN], "told ['firing'], not"),
        ([FIRES, OVER], "told [], not"),
        ([OVER, FIRES, AGAIN, OVER_AGAIN], "its end was told before its beginning"),
        ([FIRES, OVER, AGAIN, told("resolved", LATER, ends=LATER)], "told to end at"),
        ([FIRES, OVER, AGAIN, OVER_AGAIN, told("firing", END)], "told to begin at"),
        ([FIRES, OVER, FORGED, AGAIN, OVER_AGAIN], "wrong signature"),
        ([FIRES, RENAMED, AGAIN, OVER_AGAIN], "wrong id"),
        ([], "no alert is firing"),
    ],
)
def test_what_is_wrong_about_alerts_by_webhook_is_seen(posts: list[dict], said: str) -> None:
    last = telling.Alert("r", "v1:x", "RESOLVED", LATER, END)
    wrong = telling.judge_alerts(posts, SECRET, [last], {("r", "v1:x")})
    assert (said in "\n".join(wrong)) if said else not wrong, wrong


def test_an_alert_that_should_have_fired_is_missed_and_one_that_fires_has_no_end() -> None:
    last = telling.Alert("r", "v1:x", "FIRING", LATER, None)
    assert telling.judge_alerts([FIRES, OVER, AGAIN], SECRET, [last], set()) == []
    assert telling.judge_alerts([FIRES, OVER, AGAIN], SECRET, [last], {("r", "v1:y")}) == ["never fired: ('r', 'v1:y')"]
    failed = ("failure", {"fingerprint": "v1:y", "blame": "USER"})
    assert telling.wanted_alerts([failed]) == {("new-problem", "v1:y")}
    ended = [("outcome", {"action": "stop", "outcome": outcome}) for outcome in ("STALLED", "FAILED", "SUCCEEDED")]
    wanted = {("stalled-request", "stalled:stop"), ("failed-request", "failed:stop")}
    assert telling.wanted_alerts(ended) == wanted
