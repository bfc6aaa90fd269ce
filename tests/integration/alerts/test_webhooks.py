"""Webhooks for failures and corrections: signed, in order, retried after a refusal, only to allowed addresses."""

import json
import uuid

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from stumble.alerts import subscriptions
from stumble.alerts.receivers.guard import ForbiddenAddressError, resolve_address
from stumble.wire.ids import publication_event_id
from tests.integration.alerts.conftest import failure, insert_failures, publication, running_alerter
from tests.integration.alerts.test_alertmanager import eventually, now_us
from tests.support.receiver import receiver
from tests.support.subscribers import CIPHER, subscribe

LOOPBACK = "127.0.0.0/8"


def test_messages_are_signed_and_ordered_and_have_stable_ids(store, connection):
    with receiver() as received, running_alerter(store, webhooks=True, webhook_networks=LOOPBACK):
        created = subscribe(connection, received.url, kinds=["failure", "outcome"], match={"blame": ["OPERATOR"]})
        item = failure(now_us(), blame="OPERATOR")
        insert_failures(connection, [item], [publication(item), publication(item, revision=2, status="RETRACTED")])
        insert_failures(connection, [failure(now_us(), blame="USER")])
        eventually(lambda: len(received.posts) == 2)
    for number, (headers, body) in enumerate(received.posts, start=1):
        message = Webhook(created.secret).verify(body, headers)
        assert message["type"] == "action.failed"
        assert message["data"]["revision"] == number
        assert message["data"]["occurred_at"].endswith("Z")
        assert headers["webhook-id"] == publication_event_id(item["failure_id"], number)
    assert received.bodies()[1]["data"]["status"] == "RETRACTED"
    with pytest.raises(WebhookVerificationError):
        Webhook(subscriptions.new_secret()).verify(received.posts[0][1], received.posts[0][0])


def test_refused_message_is_retried_and_later_revisions_wait_for_it(store, connection):
    with (
        receiver() as received,
        running_alerter(store, webhooks={"schedule": (0.2, 0.2, 0.2)}, webhook_networks=LOOPBACK),
    ):
        received.answer = lambda number: (500, {}) if number <= 2 else (200, {})
        created = subscribe(connection, received.url)
        item = failure(now_us())
        insert_failures(connection, [item], [publication(item), publication(item, revision=2)])
        eventually(lambda: connection.execute("select count(delivered_at) from deliveries").fetchone() == (2,))
    assert [body["data"]["revision"] for body in received.bodies()] == [1, 1, 1, 2]
    assert len({headers["webhook-id"] for headers, _ in received.posts[:3]}) == 1
    (second, first) = connection.execute(
        "select attempts, last_status from deliveries where subscription_id = %s order by sequence desc", (created.id,)
    ).fetchall()
    assert (first, second) == ((3, 200), (1, 200))


def test_subscriber_disabled_after_410_and_delivery_given_up_after_last_attempt(store, connection):
    webhooks = {"schedule": (0.05,)}
    with (
        receiver() as answering_410,
        receiver() as answering_302,
        running_alerter(store, webhooks=webhooks, webhook_networks=LOOPBACK),
    ):
        answering_410.answer = lambda _: (410, {})
        answering_302.answer = lambda _: (302, {"location": "http://127.0.0.1:9/"})
        disabled = subscribe(connection, answering_410.url)
        other = subscribe(connection, answering_302.url)
        insert_failures(connection, [failure(now_us())])
        eventually(lambda: subscriptions.read(connection, disabled.id).disabled_at)
        eventually(lambda: len(answering_302.posts) == 2)
        insert_failures(connection, [failure(now_us())])
        given_up = "select count(*) from deliveries where subscription_id = %s and given_up_at is not null"
        eventually(lambda: connection.execute(given_up, (other.id,)).fetchone() == (2,))
        assert len(answering_302.posts) == 4
        assert len(answering_410.posts) == 1
    assert "410" in (subscriptions.read(connection, disabled.id).disabled_reason or "")
    rows = connection.execute("select given_up_at is not null from deliveries where subscription_id = %s", (other.id,))
    assert {row[0] for row in rows} == {True}


def test_retry_after_is_honoured(store, connection):
    with receiver() as received, running_alerter(store, webhooks=True, webhook_networks=LOOPBACK):
        received.answer = lambda _: (429, {"retry-after": "3600"})
        subscribe(connection, received.url)
        insert_failures(connection, [failure(now_us())])
        eventually(lambda: connection.execute("select 1 from deliveries where attempts = 1").fetchone())
    wait = connection.execute("select extract(epoch from next_at - now()) from deliveries").fetchone()[0]
    assert 3500 < wait <= 3600


def test_rotated_secrets_both_sign_and_a_resent_message_keeps_its_id(store, connection):
    with receiver() as received, running_alerter(store, webhooks=True, webhook_networks=LOOPBACK):
        created = subscribe(connection, received.url)
        new_secret = subscriptions.rotate(connection, CIPHER, created.id)
        message = subscriptions.queue_test(connection, created.id)
        eventually(lambda: len(received.posts) == 1)
        eventually(lambda: connection.execute("select delivered_at from deliveries").fetchone()[0])
        subscriptions.resend(connection, created.id, message)
        eventually(lambda: len(received.posts) == 2)
    for headers, body in received.posts:
        assert headers["webhook-id"] == message
        assert Webhook(created.secret).verify(body, headers) == Webhook(new_secret).verify(body, headers)


def test_body_alertmanager_has_the_format_of_alertmanager(store, connection):
    with receiver() as received, running_alerter(store, webhooks=True, webhook_networks=LOOPBACK):
        subscribe(connection, received.url, body="alertmanager")
        item = failure(now_us())
        insert_failures(connection, [item], [publication(item), publication(item, revision=2, status="RETRACTED")])
        eventually(lambda: len(received.posts) == 2)
    first, second = received.bodies()
    assert (first["version"], first["status"], second["status"]) == ("4", "firing", "resolved")
    assert first["alerts"][0]["labels"]["exception"] == "PortBindingFailed"
    assert first["alerts"][0]["fingerprint"] == second["alerts"][0]["fingerprint"]
    assert "details" not in json.dumps(first)


def test_webhook_to_a_forbidden_network_is_not_sent(store, connection):
    with receiver() as received, running_alerter(store, webhooks=True):
        subscribe(connection, received.url)
        insert_failures(connection, [failure(now_us())])
        eventually(lambda: connection.execute("select 1 from deliveries where attempts = 1").fetchone())
        assert received.posts == []
    last_error = connection.execute("select last_error from deliveries").fetchone()[0]
    assert "STUMBLE_ALERTS_WEBHOOK_NETWORKS" in last_error


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1/", "http://169.254.169.254/latest", "http://[::1]/", "http://10.1.2.3/"]
)
def test_addresses_that_are_not_public_are_refused(url):
    with pytest.raises(ForbiddenAddressError):
        resolve_address(url, ())


@pytest.mark.parametrize(
    ("more", "word"),
    [
        ({"url": "ftp://x"}, "not a valid http"),
        ({"url": "https://u:p@x"}, "password"),
        ({"body": "xml"}, "body must be one of"),
        ({"kinds": ["storm"]}, "Kinds must be"),
        ({"match": {"colour": "red"}}, "match.colour"),
        ({"secret": "abc"}, "whsec_"),
        ({"secret": "whsec_not base64"}, "base64 of 24 to 64"),
        ({"secret": "whsec_c2hvcnQ="}, "base64 of 24 to 64"),
        ({"url": "https://x.example:99999/"}, "not a valid http"),
        ({"url": f"https://{'x' * 64}.example/"}, "not a valid http"),
        ({"match": {"blame": "OPERATR"}}, "fits none of USER"),
        ({"rules": ["storm"]}, "add the kind alert"),
        ({"severities": ["critical"]}, "add the kind alert"),
        ({"kinds": ["alert"], "severities": ["loud"]}, "loud is not a valid severity: use info, warning, critical"),
        ({"kinds": ["alert"], "rules": ["a\0"]}, "is not a valid rule name"),
        ({"kinds": ["failure", "alert"], "match": {"project": "p1"}}, "match.project cannot select alerts"),
        ({"kinds": ["alert"], "match": {"action": "stop"}}, "match.action cannot select alerts"),
    ],
)
def test_invalid_subscription_is_rejected_with_the_reason(connection, more, word):
    with pytest.raises(subscriptions.SubscriptionError, match=word):
        subscribe(connection, **{"url": "https://x.example", **more})


def test_unknown_subscription_raises(connection):
    for work in (subscriptions.read, subscriptions.remove, subscriptions.enable, subscriptions.queue_test):
        with pytest.raises(subscriptions.SubscriptionError, match="There is no subscription"):
            work(connection, str(uuid.uuid4()))
