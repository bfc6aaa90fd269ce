"""Subscribers are told of each failure and correction: signed, in order, again after a refusal, only where allowed."""

import json
import uuid

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from stumble.alerts import subscriptions
from stumble.alerts.receivers.guard import ForbiddenAddressError, resolve
from stumble.wire.ids import publication_event_id
from tests.integration.alerts.conftest import alerting, failure, lay, published
from tests.integration.alerts.test_alertmanager import eventually, now_us
from tests.support.receiver import receiver

LOOPBACK = "127.0.0.0/8"


def test_messages_are_signed_and_have_one_id_and_an_order(store, link):
    with receiver() as told, alerting(store, webhooks=True, webhook_networks=LOOPBACK):
        made = subscriptions.add(link, told.url, kinds=["failure", "outcome"], match={"blame": ["OPERATOR"]})
        item = failure(now_us(), blame="OPERATOR")
        lay(link, [item], [published(item), published(item, revision=2, status="RETRACTED")])
        lay(link, [failure(now_us(), blame="USER")])
        eventually(lambda: len(told.posts) == 2)
    for number, (headers, body) in enumerate(told.posts, start=1):
        message = Webhook(made.secrets[0]).verify(body, headers)
        assert message["type"] == "action.failed"
        assert message["data"]["revision"] == number
        assert message["data"]["occurred_at"].endswith("Z")
        assert headers["webhook-id"] == publication_event_id(item["failure_id"], number)
    assert told.bodies()[1]["data"]["status"] == "RETRACTED"
    with pytest.raises(WebhookVerificationError):
        Webhook(subscriptions.new_secret()).verify(told.posts[0][1], told.posts[0][0])


def test_a_refused_message_comes_again_and_later_revisions_wait_for_it(store, link):
    with receiver() as told, alerting(store, webhooks={"schedule": (0.2, 0.2, 0.2)}, webhook_networks=LOOPBACK):
        told.answer = lambda number: (500, {}) if number <= 2 else (200, {})
        made = subscriptions.add(link, told.url)
        item = failure(now_us())
        lay(link, [item], [published(item), published(item, revision=2)])
        eventually(lambda: link.execute("select count(delivered_at) from deliveries").fetchone() == (2,))
    assert [body["data"]["revision"] for body in told.bodies()] == [1, 1, 1, 2]
    assert len({headers["webhook-id"] for headers, _ in told.posts[:3]}) == 1
    (second, first) = link.execute(
        "select attempts, last_status from deliveries where subscription_id = %s order by sequence desc", (made.id,)
    ).fetchall()
    assert (first, second) == ((3, 200), (1, 200))


def test_a_subscriber_that_is_gone_is_told_no_more_and_one_that_never_takes_is_given_up(store, link):
    webhooks = {"schedule": (0.05,)}
    with receiver() as gone, receiver() as deaf, alerting(store, webhooks=webhooks, webhook_networks=LOOPBACK):
        gone.answer = lambda _: (410, {})
        deaf.answer = lambda _: (302, {"location": "http://127.0.0.1:9/"})
        left = subscriptions.add(link, gone.url)
        other = subscriptions.add(link, deaf.url)
        lay(link, [failure(now_us())])
        eventually(lambda: subscriptions.read(link, left.id).disabled_at)
        eventually(lambda: len(deaf.posts) == 2)
        lay(link, [failure(now_us())])
        given_up = "select count(*) from deliveries where subscription_id = %s and given_up_at is not null"
        eventually(lambda: link.execute(given_up, (other.id,)).fetchone() == (2,))
        assert len(deaf.posts) == 4
        assert len(gone.posts) == 1
    assert "410" in subscriptions.read(link, left.id).disabled_reason
    rows = link.execute("select given_up_at is not null from deliveries where subscription_id = %s", (other.id,))
    assert {row[0] for row in rows} == {True}


def test_retry_after_is_honoured(store, link):
    with receiver() as told, alerting(store, webhooks=True, webhook_networks=LOOPBACK):
        told.answer = lambda _: (429, {"retry-after": "3600"})
        subscriptions.add(link, told.url)
        lay(link, [failure(now_us())])
        eventually(lambda: link.execute("select 1 from deliveries where attempts = 1").fetchone())
    wait = link.execute("select extract(epoch from next_at - now()) from deliveries").fetchone()[0]
    assert 3500 < wait <= 3600


def test_rotation_signs_with_both_secrets_and_a_resend_keeps_its_id(store, link):
    with receiver() as told, alerting(store, webhooks=True, webhook_networks=LOOPBACK):
        made = subscriptions.add(link, told.url)
        fresh = subscriptions.rotate(link, made.id)
        message = subscriptions.queue_test(link, made.id)
        eventually(lambda: len(told.posts) == 1)
        eventually(lambda: link.execute("select delivered_at from deliveries").fetchone()[0])
        subscriptions.resend(link, made.id, message)
        eventually(lambda: len(told.posts) == 2)
    for headers, body in told.posts:
        assert headers["webhook-id"] == message
        assert Webhook(made.secrets[0]).verify(body, headers) == Webhook(fresh).verify(body, headers)


def test_alertmanagers_body_for_receivers_that_know_it(store, link):
    with receiver() as told, alerting(store, webhooks=True, webhook_networks=LOOPBACK):
        subscriptions.add(link, told.url, body="alertmanager")
        item = failure(now_us())
        lay(link, [item], [published(item), published(item, revision=2, status="RETRACTED")])
        eventually(lambda: len(told.posts) == 2)
    first, second = told.bodies()
    assert (first["version"], first["status"], second["status"]) == ("4", "firing", "resolved")
    assert first["alerts"][0]["labels"]["exception"] == "PortBindingFailed"
    assert first["alerts"][0]["fingerprint"] == second["alerts"][0]["fingerprint"]
    assert "details" not in json.dumps(first)


def test_webhooks_go_only_where_they_may(store, link):
    with receiver() as told, alerting(store, webhooks=True):
        subscriptions.add(link, told.url)
        lay(link, [failure(now_us())])
        eventually(lambda: link.execute("select 1 from deliveries where attempts = 1").fetchone())
        assert told.posts == []
    said = link.execute("select last_error from deliveries").fetchone()[0]
    assert "STUMBLE_ALERTS_WEBHOOK_NETWORKS" in said


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1/", "http://169.254.169.254/latest", "http://[::1]/", "http://10.1.2.3/"]
)
def test_addresses_that_are_not_public_are_refused(url):
    with pytest.raises(ForbiddenAddressError):
        resolve(url, ())


@pytest.mark.parametrize(
    ("more", "word"),
    [
        ({"url": "ftp://x"}, "no http"),
        ({"url": "https://u:p@x"}, "password"),
        ({"body": "xml"}, "body is one of"),
        ({"kinds": ["storm"]}, "Kinds are"),
        ({"match": {"colour": "red"}}, "match.colour"),
        ({"secret": "abc"}, "whsec_"),
        ({"secret": "whsec_not base64"}, "base64 of 24 to 64"),
        ({"secret": "whsec_c2hvcnQ="}, "base64 of 24 to 64"),
        ({"url": "https://x.example:99999/"}, "no http"),
        ({"url": f"https://{'x' * 64}.example/"}, "no http"),
        ({"match": {"blame": "OPERATR"}}, "fits none of USER"),
        ({"rules": ["storm"]}, "add the kind alert"),
        ({"severities": ["critical"]}, "add the kind alert"),
        ({"kinds": ["alert"], "severities": ["loud"]}, "no severity loud: there are info, warning, critical"),
        ({"kinds": ["alert"], "rules": ["a\0"]}, "No rule can be called"),
        ({"kinds": ["failure", "alert"], "match": {"project": "p1"}}, "match.project can't choose among alerts"),
    ],
)
def test_wrong_subscriptions_are_refused(link, more, word):
    with pytest.raises(subscriptions.SubscriptionError, match=word):
        subscriptions.add(link, **{"url": "https://x.example", **more})


def test_unknown_subscriptions(link):
    for work in (subscriptions.read, subscriptions.remove, subscriptions.enable, subscriptions.queue_test):
        with pytest.raises(subscriptions.SubscriptionError, match="There is no subscription"):
            work(link, str(uuid.uuid4()))
