"""Subscribers that hang, send invalid responses or have a long queue do not delay the others."""

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
from stumble.store.retention import Retention, delete_expired
from tests.integration.alerts.conftest import failure, insert_failures, publication, running_alerter
from tests.integration.alerts.test_alertmanager import eventually, now_us
from tests.support.endless_server import IN_BODY, IN_HEADERS, endless_server
from tests.support.receiver import receiver
from tests.support.serving import serving
from tests.support.subscribers import CIPHER, subscribe

LOOPBACK = "127.0.0.0/8"


@contextlib.contextmanager
def hanging(store, *, answered):
    """Run a receiver that answers only the first `answered` messages, and one that answers all."""
    release, webhooks = threading.Event(), {"timeout_seconds": 300}
    with receiver() as slow, receiver() as quick, running_alerter(store, webhooks=webhooks, webhook_networks=LOOPBACK):
        slow.answer = lambda number: (number <= answered or release.wait(300), (200, {}))[1]
        try:
            yield slow, quick
        finally:
            release.set()


def assert_receives_all(connection, other):
    """Add another subscriber and wait until it has received all new messages."""
    subscribe(connection, other.url)
    insert_failures(connection, [failure(now_us()) for _ in range(20)])
    eventually(lambda: len(other.posts) == 20)


def test_hanging_subscriber_with_a_long_queue_does_not_delay_another(store, connection):
    with hanging(store, answered=1) as (slow, quick):
        subscribe(connection, slow.url)
        insert_failures(connection, [failure(now_us()) for _ in range(200)])
        eventually(lambda: len(slow.posts) == 9)  # one answered message, then the maximum number in flight
        assert_receives_all(connection, quick)
        assert len(slow.posts) == 9


def test_many_hanging_subscribers_do_not_delay_another(store, connection):
    with hanging(store, answered=0) as (slow, quick):
        for _ in range(10):  # eight messages in flight for each would exceed the total limit
            subscribe(connection, slow.url)
        insert_failures(connection, [failure(now_us()) for _ in range(20)])
        eventually(lambda: len(slow.posts) == 10)
        assert_receives_all(connection, quick)
        assert len(slow.posts) == 10


@pytest.mark.parametrize("first", [IN_HEADERS, IN_BODY], ids=["headers", "body"])
def test_many_subscribers_that_answer_byte_by_byte_do_not_delay_another(store, connection, first):
    webhooks = {"timeout_seconds": 4}
    with (
        endless_server(first) as slow,
        receiver() as quick,
        running_alerter(store, webhooks=webhooks, webhook_networks=LOOPBACK),
    ):
        for _ in range(100):
            subscribe(connection, slow)
        insert_failures(connection, [failure(now_us()) for _ in range(5)])
        attempted = "select last_status, last_error from deliveries where attempts > 0 limit 1"
        status, error = eventually(lambda: connection.execute(attempted).fetchone())
        if first == IN_HEADERS:
            assert status is None
            assert "no complete answer within 4 s" in error
        else:
            assert status == 200, "the status is enough"
        assert_receives_all(connection, quick)


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
    ids=["nul", "date without zone", "no ASCII number", "no gzip", "no http", "no end"],
)
def test_invalid_response_is_retried_later_and_does_not_delay_others(store, connection, answer):
    class InvalidResponse(socketserver.BaseRequestHandler):
        def handle(self):
            self.request.recv(65_536)
            with contextlib.suppress(OSError):  # the sender does not read to the end
                self.request.sendall(answer)

    with (
        serving(socketserver.ThreadingTCPServer(("127.0.0.1", 0), InvalidResponse)) as invalid,
        receiver() as received,
        running_alerter(store, webhooks=True, webhook_networks=LOOPBACK),
    ):
        subscribe(connection, f"{invalid}/")
        insert_failures(connection, [failure(now_us())])
        row = eventually(
            lambda: connection.execute(
                "select last_error, attempts, next_at > now() from deliveries where attempts = 1"
            ).fetchone()
        )
        assert row[2], "it is tried again later"
        assert "\0" not in row[0]
        assert len(row[0]) <= 500
        subscribe(connection, received.url)
        insert_failures(connection, [failure(now_us())])
        eventually(lambda: received.posts)


def test_alerter_exports_webhook_metrics_and_is_live(store, connection):
    metrics = ProcessMetrics("alerter")

    def value(name, **labels):
        return metrics.registry.get_sample_value(name, labels)

    assert value("stumble_webhook_attempts_total", result="given_up") == 0, "there from the start"
    stop = threading.Event()
    settings = AlertSettings(webhook_networks=LOOPBACK)
    sender = WebhookSender(
        store, Webhooks(settings, metrics, CIPHER, schedule=(3600,)), metrics, stop, count_seconds=0.2
    )
    pusher = Pusher(store, settings, metrics, stop)
    with receiver() as received:
        received.answer = lambda number: (500, {}) if number == 1 else (200, {})
        subscribe(connection, received.url)
        for thread in (sender, pusher):
            thread.start()
        try:
            insert_failures(connection, [failure(now_us()), failure(now_us(), fingerprint="v1:two")])
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
    assert not sender.is_alive()


def test_unexpected_error_is_logged_and_the_thread_continues(store, connection, monkeypatch, caplog):
    once = iter([ZeroDivisionError("never"), None])

    def fail_once(*given):
        if (error := next(once, None)) is not None:
            raise error
        return queue(*given)

    queue = subscriptions.queue
    monkeypatch.setattr(subscriptions, "queue", fail_once)
    with receiver() as received, running_alerter(store, webhooks=True, webhook_networks=LOOPBACK):
        subscribe(connection, received.url)
        insert_failures(connection, [failure(now_us())])
        eventually(lambda: received.posts)
    assert "Unexpected error; alerts retries" in caplog.text
    assert len(received.posts) == 1


def walk(plan):
    yield plan
    for part in plan.get("Plans", ()):
        yield from walk(part)


def most_rows(connection, name, **given):
    """Return how many rows the largest step of a statement processed."""
    plan = connection.execute("explain (analyze, format json) " + query(name), given, prepare=False).fetchone()[0]
    steps = walk(plan[0]["Plan"])
    return max(step["Actual Rows"] * step["Actual Loops"] + step.get("Rows Removed by Filter", 0) for step in steps)


@pytest.mark.parametrize("analyzed", [True, False], ids=["analyzed", "not analyzed"])
def test_statements_read_few_rows_of_a_long_queue(store, connection, analyzed):
    created, _ = (subscribe(connection, "https://x.example") for _ in range(2))
    waiting = (
        "insert into deliveries (subscription_id, message_id, publication_id, request_key, next_at) select"
        " %s, gen_random_uuid(), 1, gen_random_uuid(), now() + n * interval '1 s' from generate_series({}) n"
    )
    connection.execute(waiting.format("-3000, -1"), (created.id,))
    connection.execute("update deliveries set delivered_at = now()")
    if not analyzed:
        connection.execute("analyze deliveries")  # by the statistics of the planner, nothing is due
    connection.execute(waiting.format("-20, 5000"), (created.id,))
    if analyzed:
        connection.execute("analyze deliveries")
    message, request = connection.execute(
        "select message_id::text, request_key::text from deliveries where delivered_at is null limit 1"
    ).fetchone()
    assert most_rows(connection, "load_due_deliveries", each=8, busy=[]) < 100
    rows = [{"subscription_id": created.id, "message_id": str(uuid.uuid4()), "request_key": request}]
    assert most_rows(connection, "add_deliveries", rows=json.dumps(rows)) < 100
    attempt = {"status": 500, "error": "no", "done": False, "give_up": False, "wait": 900}
    assert most_rows(connection, "record_delivery_attempt", subscription=created.id, message=message, **attempt) < 100
    is_postponed = "select next_at > now() + interval '14 minutes' from deliveries where request_key = %s"
    assert connection.execute(is_postponed, (request,)).fetchall() == [(True,), (True,)]


def test_messages_behind_a_postponed_message_of_a_request_wait_for_it(store, connection):
    with receiver() as received, running_alerter(store, webhooks={"schedule": (3600,)}, webhook_networks=LOOPBACK):
        received.answer = lambda number: (500, {}) if number == 1 else (200, {})
        created = subscribe(connection, received.url)
        item = failure(now_us())
        insert_failures(connection, [item], [publication(item)])
        eventually(lambda: connection.execute("select 1 from deliveries where attempts = 1").fetchone())
        insert_failures(connection, [], [publication(item, revision=2)])
        rows = eventually(lambda: len(next_times := next_attempts(connection)) == 2 and next_times)
        assert rows[1] >= rows[0]
        subscriptions.resend(connection, created.id, received.posts[0][0]["webhook-id"])
        eventually(lambda: len(received.posts) == 3)
    assert [body["data"]["revision"] for body in received.bodies()] == [1, 1, 2]


def next_attempts(connection):
    return [row[0] for row in connection.execute("select next_at from deliveries order by sequence")]


def test_unreachable_subscriber_gets_one_message_at_a_time_until_it_answers(store, connection):
    lock, current = threading.Lock(), [0]
    in_flight: dict[str, list[int]] = {"before": [], "down": [], "after": []}
    state = ["before"]

    def answer(_request):
        with lock:
            current[0] += 1
            in_flight[state[0]].append(current[0])
        time.sleep(0.1)
        with lock:
            current[0] -= 1
        if state[0] == "down":
            raise httpx.ConnectError("connection refused")
        return httpx.Response(200, stream=httpx.ByteStream(b""))

    webhooks = {"transport": httpx.MockTransport(answer)}
    with running_alerter(store, webhooks=webhooks, webhook_networks=LOOPBACK):
        subscribe(connection, "http://127.0.0.1:9/")
        insert_failures(connection, [failure(now_us()) for _ in range(40)])
        done = "select count(*) from deliveries where delivered_at is not null"
        eventually(lambda: connection.execute(done).fetchone()[0] == 40)
        state[0] = "down"
        insert_failures(connection, [failure(now_us()) for _ in range(40)])
        eventually(lambda: len(in_flight["down"]) >= 15)
        state[0] = "after"
        insert_failures(connection, [failure(now_us()) for _ in range(40)])
        eventually(lambda: max(in_flight["after"], default=0) > 1)
    assert in_flight["before"][0] == 1, "it might not answer"
    assert max(in_flight["before"]) > 1
    assert set(in_flight["down"][8:]) == {1}


def test_old_deliveries_are_deleted_except_those_of_firing_alerts(store, connection):
    with receiver() as received, running_alerter(store, webhooks=True, webhook_networks=LOOPBACK):
        subscribe(connection, received.url, kinds=["failure", "alert"])
        insert_failures(connection, [failure(now_us())])
        eventually(
            lambda: connection.execute("select count(*) from deliveries where delivered_at < now()").fetchone()[0] == 2
        )
    removed = subscribe(connection, "https://x.example")
    subscriptions.queue_test(connection, removed.id)
    connection.execute("update subscriptions set disabled_at = now() - interval '31 days' where id = %s", (removed.id,))
    connection.execute("update deliveries set created_at = now() - interval '31 days'")
    subscriptions.queue_test(connection, subscribe(connection, "https://y.example").id)
    delete_expired(connection, EventPartitions(90), Retention())
    remaining = connection.execute(
        "select alert ->> 'status', delivered_at is null from deliveries order by sequence"
    ).fetchall()
    assert remaining == [("firing", False), (None, True)]
