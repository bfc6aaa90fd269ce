"""The database has the secrets of subscriptions only encrypted; keys can be rotated, and a lost key is reported."""

import json

import pytest
from standardwebhooks import Webhook

from stumble.alerts import subscriptions
from stumble.alerts.secret_cipher import SecretCipher, SecretCipherError, new_key
from tests.integration.alerts.conftest import failure, insert_failures, running_alerter
from tests.integration.alerts.test_alertmanager import eventually, now_us
from tests.support.command import stumble
from tests.support.receiver import receiver
from tests.support.subscribers import CIPHER, KEY, subscribe

LOOPBACK = "127.0.0.0/8"


def command(store, *words, keys):
    return stumble(*words, STUMBLE_DATABASE_URL=store, STUMBLE_SUBSCRIPTION_KEYS=keys)


def findings(store, keys):
    """Return the results of the check about secrets, by level."""
    checks = json.loads(command(store, "check", "receivers", "--json", keys=keys).stdout)["checks"]
    found = [item for check in checks for item in check["findings"] if item["subject"] == "subscription secrets"]
    return {item["level"]: f"{item['says']} → {item['todo']}" for item in found}


def stored_secrets(connection):
    return [text for row in connection.execute("select secrets from subscriptions") for text in row[0]]


def test_database_contains_no_secret(store, connection):
    created = subscribe(connection, "https://x.example")
    rotated = subscriptions.rotate(connection, CIPHER, created.id)
    (row,) = connection.execute("select to_json(s)::text from subscriptions s").fetchone()
    assert created.secret not in row
    assert rotated not in row
    stored = stored_secrets(connection)
    assert [CIPHER.decrypt(created.id, text) for text in stored] == [rotated, created.secret]


def test_keys_are_rotated_without_a_change_for_the_receiver(store, connection):
    with receiver() as received:
        created = subscribe(connection, received.url)
        newest = new_key()
        assert findings(store, KEY) == {"fine": "encrypted with the newest key → "}
        assert "stumble subscriptions encrypt-again" in findings(store, f"{newest} {KEY}")["warning"]
        done = command(store, "subscriptions", "encrypt-again", keys=f"{newest}\n{KEY}")
        assert (done.returncode, done.stdout) == (0, "1 subscriptions encrypted again.\n"), done.stderr
        again = command(store, "subscriptions", "encrypt-again", keys=newest)
        assert (again.returncode, again.stdout) == (0, "0 subscriptions encrypted again.\n")
        assert findings(store, newest) == {"fine": "encrypted with the newest key → "}
        with running_alerter(store, webhooks={"cipher": SecretCipher([newest])}, webhook_networks=LOOPBACK):
            insert_failures(connection, [failure(now_us())])
            eventually(lambda: received.posts)
    headers, body = received.posts[0]
    Webhook(created.secret).verify(body, headers)


def test_secret_whose_key_is_lost_is_reported_and_can_be_replaced(store, connection):
    other = new_key()
    with receiver() as received:
        created = subscribe(connection, received.url)
        with running_alerter(store, webhooks={"cipher": SecretCipher([other])}, webhook_networks=LOOPBACK):
            insert_failures(connection, [failure(now_us())])
            attempted = "select last_error from deliveries where attempts > 0"
            (error,) = eventually(lambda: connection.execute(attempted).fetchone())
        assert f"{created.id} cannot be decrypted" in error
        assert received.posts == [], "no message leaves without a signature"
    assert f"decrypt none of {created.id} → add the key" in findings(store, other)["wrong"]
    failed = command(store, "subscriptions", "encrypt-again", keys=other)
    assert failed.returncode == 1
    assert f"stumble subscriptions rotate {created.id}" in failed.stderr
    rotated = subscriptions.rotate(connection, SecretCipher([other]), created.id)
    assert [SecretCipher([other]).decrypt(created.id, text) for text in stored_secrets(connection)] == [rotated]


def test_secret_in_plain_text_is_reported_and_encrypted(store, connection):
    created = subscribe(connection, "https://x.example")
    connection.execute("update subscriptions set secrets = %s", ([created.secret],))
    assert "plain text in the database → stumble subscriptions encrypt-again" in findings(store, KEY)["wrong"]
    assert command(store, "subscriptions", "encrypt-again", keys=KEY).returncode == 0
    assert [CIPHER.decrypt(created.id, text) for text in stored_secrets(connection)] == [created.secret]


def test_no_secret_is_stored_without_a_key(store, connection):
    with pytest.raises(SecretCipherError, match="no key is configured"):
        subscriptions.add(connection, SecretCipher([]), "https://x.example", secret=subscriptions.new_secret())
    assert stored_secrets(connection) == []
    subscribe(connection, "https://x.example")
    assert "no key that decrypts them" in findings(store, "")["wrong"]
    failed = command(store, "subscriptions", "encrypt-again", keys="")
    assert (failed.returncode, failed.stderr.count("\n")) == (1, 1)
    assert "no key is configured" in failed.stderr


def test_new_key_is_accepted_as_a_setting():
    key = stumble("subscriptions", "new-key").stdout.strip()
    assert SecretCipher([key]).encrypt("x", "y") != ""
    wrong = stumble("subscriptions", "encrypt-again", STUMBLE_SUBSCRIPTION_KEYS="short")
    assert (wrong.returncode != 0, wrong.stderr.count("\n")) == (True, 1)
    assert "STUMBLE_SUBSCRIPTION_KEYS is wrong: key 1" in wrong.stderr
