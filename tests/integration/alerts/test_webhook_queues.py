"""Subscribers that hang, answer oddly or have a long queue: the others are told all the same."""

import contextlib
import json
import socketserver
import threading
import time
import uuid

import httpx
import pytest

from stumble.alerts import subscriptions
from stumble.alerts.pusher import Pusher
from stumble.alerts.receivers.webhooks import Webhooks
from stumble.alerts.sender import WebhookSender
from stumble.alerts.settings import AlertSettings
from stumble.metrics.process import ProcessMetrics
from stumble.store.partitions import EventPartitions
from stumble.store.queries import query
from stumble.store.retention import Retention, expire
from tests.integration.alerts.conftest import alerting, failure, lay, published
from tests.integration.alerts.test_alertmanager import eventually, now_us
from tests.support.receiver import receiver

LOOPBACK = "127.0.0.0/8"


@contextlib.contextmanager
def hanging(store, *, answered):
    """A receiver that answers so many messages and then none, and one that answers each."""
    let_go, webhooks = threading.Event(), {"timeout_seconds": 300}
    with receiver() as slow, receiver() as quick, alerting(store, webhooks=webhooks, webhook_networks=LOOPBACK):
        slow.answer = lambda number: (number <= answered or let_go.wait(300), (200, {}))[1]
        try:
            yield slow, quick
        finally:
            let_go.set()


def is_told(link, other):
    """Wait until another subscriber has heard of all that comes from now on."""
    subscriptions.add(link, other.url)
    lay(link, [failure(now_us()) for _ in range(20)])
    eventually(lambda: len(other.posts) == 20)


def test_a_subscriber_that_hangs_with_a_long_queue_does_not_hold_up_another(store, link):
    with hanging(store, answered=1) as (slow, quick):
        subscriptions.add(link, slow.url)
        lay(link, [failure(now_us()) for _ in range(200)])
        eventually(lambda: len(slow.posts) == 9)  # one that it answers, then all that may be on their way at once
        is_told(link, quick)
        assert len(slow.posts) == 9


def test_however_many_subscribers_hang_from_the_start_another_is_told(store, link):
    with hanging(store, answered=0) as (slow, quick):
        for _ in range(10):  # eight times as many messages would be more than may be on their way to anybody
            subscriptions.add(link, slow.url)
        lay(link, [failure(now_us()) for _ in range(20)])
        eventually(lambda: len(slow.posts) == 10)
        is_told(link, quick)
        assert len(slow.posts) == 10


HEAD = b"HTTP/1.1 503 No\r\nContent-Type: text/plain; charset=no-such\r\n"


@pytest.mark.parametrize(
    "answer",
    [
        HEAD + b"Content-Length: 3\r\n\r\na\0b",
        HEAD + b"Retry-After: Wed, 21 Oct 2099 07:28:00 -0000\r\nContent-Length: 0\r\n\r\n",
        HEAD + b"Retry-After: \xb2\r\nContent-Length: 0\r\n\r\n",
        HEAD + b"Content-Encoding: gzip\r\nContent-Length: 4\r\n\r\nnope",
        b"what is this\r\n\r\n",
        HEAD + b"\r\n" + b"x" * 10_000_000,
    ],
    ids=["nul", "date without zone", "strange number", "no gzip", "no http", "no end"],
)
def test_whatever_a_subscriber_answers_the_others_are_told(store, link, answer):
    class Strange(socketserver.BaseRequestHandler):
        def handle(self):
            self.request.recv(65_536)
            with contextlib.suppress(OSError):  # we don't read it to its end
                self.request.sendall(answer)

    with (
        socketserver.ThreadingTCPServer(("127.0.0.1", 0), Strange) as server,
        receiver() as told,
        alerting(store, webhooks=True, webhook_networks=LOOPBACK),
    ):
        threading.Thread(target=server.serve_forever, daemon=True).start()
        subscriptions.add(link, f"http://127.0.0.1:{server.server_address[1]}/")
        lay(link, [failure(now_us())])
        row = eventually(
            lambda: link.execute(
                "select last_error, attempts, next_at > now() from deliveries where attempts = 1"
            ).fetchone()
        )
        assert row[2], "it is tried again later"
        assert "\0" not in row[0]
        assert len(row[0]) <= 500
        subscriptions.add(link, told.url)
        lay(link, [failure(now_us())])
        eventually(lambda: told.posts)
        server.shutdown()


def test_the_alerter_tells_of_its_webhooks_and_lives(store, link):
    metrics = ProcessMetrics("alerter")

    def value(name, **labels):
        return metrics.registry.get_sample_value(name, labels)

    assert value("stumble_webhook_attempts_total", result="given_up") == 0, "there from the start"
    stop = threading.Event()
    told = AlertSettings(webhook_networks=LOOPBACK)
    sender = WebhookSender(store, Webhooks(told, metrics, schedule=(3600,)), metrics, stop, count_seconds=0.2)
    pusher = Pusher(store, told, metrics, stop)
    with receiver() as at:
        at.answer = lambda number: (500, {}) if number == 1 else (200, {})
        subscriptions.add(link, at.url)
        for thread in (sender, pusher):
            thread.start()
        try:
            lay(link, [failure(now_us()), failure(now_us(), fingerprint="v1:two")])
            eventually(lambda: value("stumble_webhook_attempts_total", result="delivered") == 1)
            eventually(lambda: value("stumble_alerts_firing", severity="warning") == 2)
            eventually(lambda: value("stumble_webhook_backlog_messages") == 1)
            assert value("stumble_webhook_attempts_total", result="failed") == 1
            assert value("stumble_webhook_lag_seconds") > 0
            assert sender.live()[0]
            assert pusher.live()[0]
        finally:
            stop.set()
            for thread in (sender, pusher):
                thread.join(60)
    assert not sender.live()[0]


def test_an_error_that_should_not_be_stops_no_thread(store, link, monkeypatch, caplog):
    once = iter([ZeroDivisionError("never"), None])

    def breaks(*given):
        if (error := next(once, None)) is not None:
            raise error
        return queue(*given)

    queue = subscriptions.queue
    monkeypatch.setattr(subscriptions, "queue", breaks)
    with receiver() as told, alerting(store, webhooks=True, webhook_networks=LOOPBACK):
        subscriptions.add(link, told.url)
        lay(link, [failure(now_us())])
        eventually(lambda: told.posts)
    assert "Unexpected error; alerts retries" in caplog.text
    assert len(told.posts) == 1


def test_one_slow_subscriber_does_not_hold_up_another(store, link):
    with receiver() as slow, receiver() as quick, alerting(store, webhooks=True, webhook_networks=LOOPBACK):
        slow.answer = lambda _: (time.sleep(1), (200, {}))[1]
        subscriptions.add(link, slow.url)
        subscriptions.add(link, quick.url)
        lay(link, [failure(now_us()) for _ in range(5)])
        eventually(lambda: len(quick.posts) == 5)


def walk(plan):
    yield plan
    for part in plan.get("Plans", ()):
        yield from walk(part)


def most_rows(link, name, **given):
    """Return how many rows the largest step of a statement went through."""
    told = link.execute("explain (analyze, format json) " + query(name), given, prepare=False).fetchone()[0]
    steps = walk(told[0]["Plan"])
    return max(step["Actual Rows"] * step["Actual Loops"] + step.get("Rows Removed by Filter", 0) for step in steps)


@pytest.mark.parametrize("analyzed", [True, False], ids=["known to the planner", "come just now"])
def test_a_long_queue_is_never_read_as_a_whole(store, link, analyzed):
    made, _ = (subscriptions.add(link, "https://x.example") for _ in range(2))
    waiting = (
        "insert into deliveries (subscription_id, message_id, publication_id, request_key, next_at) select"
        " %s, gen_random_uuid(), 1, gen_random_uuid(), now() + n * interval '1 s' from generate_series({}) n"
    )
    link.execute(waiting.format("-3000, -1"), (made.id,))
    link.execute("update deliveries set delivered_at = now()")
    if not analyzed:
        link.execute("analyze deliveries")  # nothing waits, as far as the planner knows
    link.execute(waiting.format("-20, 5000"), (made.id,))
    if analyzed:
        link.execute("analyze deliveries")
    message, request = link.execute(
        "select message_id::text, request_key::text from deliveries where delivered_at is null limit 1"
    ).fetchone()
    assert most_rows(link, "load_due_deliveries", each=8) < 100
    rows = [{"subscription_id": made.id, "message_id": str(uuid.uuid4()), "request_key": request}]
    assert most_rows(link, "add_deliveries", rows=json.dumps(rows)) < 100
    noted = {"status": 500, "error": "no", "done": False, "give_up": False, "wait": 900}
    assert most_rows(link, "record_delivery_attempt", subscription=made.id, message=message, **noted) < 100
    behind = "select next_at > now() + interval '14 minutes' from deliveries where request_key = %s"
    assert link.execute(behind, (request,)).fetchall() == [(True,), (True,)]


def test_what_comes_behind_a_message_that_is_put_off_waits_with_it_and_goes_with_it(store, link):
    with receiver() as told, alerting(store, webhooks={"schedule": (3600,)}, webhook_networks=LOOPBACK):
        told.answer = lambda number: (500, {}) if number == 1 else (200, {})
        made = subscriptions.add(link, told.url)
        item = failure(now_us())
        lay(link, [item], [published(item)])
        eventually(lambda: link.execute("select 1 from deliveries where attempts = 1").fetchone())
        lay(link, [], [published(item, revision=2)])
        rows = eventually(lambda: len(found := times(link)) == 2 and found)
        assert rows[1] >= rows[0]
        subscriptions.resend(link, made.id, told.posts[0][0]["webhook-id"])
        eventually(lambda: len(told.posts) == 3)
    assert [body["data"]["revision"] for body in told.bodies()] == [1, 1, 2]


def times(link):
    return [row[0] for row in link.execute("select next_at from deliveries order by sequence")]


def test_a_subscriber_that_gives_no_answer_is_asked_one_by_one_until_it_does(store, link):
    lock, now, most = threading.Lock(), [0], {"well before": [], "dead": [], "well": []}
    state = ["well before"]

    def answer(_request):
        with lock:
            now[0] += 1
            most[state[0]].append(now[0])
        time.sleep(0.1)
        with lock:
            now[0] -= 1
        if state[0] == "dead":
            raise httpx.ConnectError("connection refused")
        return httpx.Response(200, stream=httpx.ByteStream(b""))

    webhooks = {"transport": httpx.MockTransport(answer)}
    with alerting(store, webhooks=webhooks, webhook_networks=LOOPBACK):
        subscriptions.add(link, "http://127.0.0.1:9/")
        lay(link, [failure(now_us()) for _ in range(40)])
        done = "select count(*) from deliveries where delivered_at is not null"
        eventually(lambda: link.execute(done).fetchone()[0] == 40)
        state[0] = "dead"
        lay(link, [failure(now_us()) for _ in range(40)])
        eventually(lambda: len(most["dead"]) >= 15)
        state[0] = "well"
        lay(link, [failure(now_us()) for _ in range(40)])
        eventually(lambda: max(most["well"], default=0) > 1)
    assert most["well before"][0] == 1, "it might not answer"
    assert max(most["well before"]) > 1
    assert set(most["dead"][8:]) == {1}


def test_what_was_delivered_long_ago_goes_but_who_heard_of_an_alert_that_fires_stays_known(store, link):
    with receiver() as told, alerting(store, webhooks=True, webhook_networks=LOOPBACK):
        subscriptions.add(link, told.url, kinds=["failure", "alert"])
        lay(link, [failure(now_us())])
        eventually(
            lambda: link.execute("select count(*) from deliveries where delivered_at < now()").fetchone()[0] == 2
        )
    gone = subscriptions.add(link, "https://x.example")
    subscriptions.queue_test(link, gone.id)
    link.execute("update subscriptions set disabled_at = now() - interval '31 days' where id = %s", (gone.id,))
    link.execute("update deliveries set created_at = now() - interval '31 days'")
    subscriptions.queue_test(link, subscriptions.add(link, "https://y.example").id)
    expire(link, EventPartitions(90), Retention())
    left = link.execute("select alert ->> 'status', delivered_at is null from deliveries order by sequence").fetchall()
    assert left == [("firing", False), (None, True)]
