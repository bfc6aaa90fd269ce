"""Verification with a file of public keys: who may name which host, rotation, and mistakes in the files."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime

import pytest

from stumble.signatures.errors import PublicKeysUnusable, SignatureRejected, SigningKeyUnusable
from stumble.signatures.signing import RecordSigner
from stumble.signatures.verification import RecordVerifier, load_public_keys
from stumble.testing.in_memory import InMemoryRecord
from stumble.wire.headers import RELAY
from tests.support.projection import eventually
from tests.support.services import cli_environment
from tests.support.signing import new_key, write_public_keys

TOPIC = "instance-actions"
NOON_MS = int(datetime(2026, 6, 1, 12, tzinfo=UTC).timestamp() * 1000)
NOON = "2026-06-01T12:00:00Z"


class AppendedRecord(InMemoryRecord):
    """A record whose time is the broker's."""

    def timestamp(self) -> tuple[int, int]:
        return 2, self.timestamp_ms


class WriterTimedRecord(InMemoryRecord):
    """A record whose time is its writer's."""

    def timestamp(self) -> tuple[int, int]:
        return 1, self.timestamp_ms


def record(headers=(), *, value=b"event", key=b"k", topic=TOPIC, time_ms=NOON_MS, kind=AppendedRecord):
    return kind(value, 0, 0, topic, list(headers), key, time_ms)


def reason_of(verifier, *arguments, **options):
    with pytest.raises(SignatureRejected) as caught:
        verifier.verify(record(*arguments, **options))
    return caught.value.reason


@pytest.fixture
def relay_key(tmp_path):
    return new_key(tmp_path, "cmp1", "cmp1.example.org")


@pytest.fixture
def path(tmp_path, relay_key):
    return write_public_keys(tmp_path / "keys.toml", relay_key)


def test_signed_record_is_accepted_for_the_hosts_of_its_key_only(path, relay_key):
    key = RecordVerifier(path).verify(record(relay_key.sign(TOPIC, b"k", b"event")))
    assert key is not None
    assert key.key_id == relay_key.created.key_id
    for allowed in ("cmp1", "cmp1.example.org", None):
        key.check_host(allowed)
    for foreign in ("cmp2", "cmp", "", "*"):
        with pytest.raises(SignatureRejected) as caught:
            key.check_host(foreign)
        assert caught.value.reason == "foreign_host"


def test_key_of_a_bridge_may_name_any_host(tmp_path):
    relay_key = new_key(tmp_path, "*")
    verifier = RecordVerifier(write_public_keys(tmp_path / "keys.toml", relay_key))
    key = verifier.verify(record(relay_key.sign(TOPIC, b"k", b"event")))
    assert key is not None
    key.check_host("cmp7")


def test_changed_copied_unsigned_and_unknown_records_are_rejected(path, relay_key, tmp_path):
    verifier = RecordVerifier(path)
    signed = relay_key.sign(TOPIC, b"k", b"event", [("ce_id", b"1")])
    assert reason_of(verifier) == "unsigned"
    assert reason_of(verifier, signed, value=b"other") == "invalid"
    assert reason_of(verifier, signed, value=None) == "invalid"
    assert reason_of(verifier, signed, key=b"other") == "invalid"
    assert reason_of(verifier, signed, topic="instance-action-producers") == "invalid"
    assert reason_of(verifier, [("ce_id", b"2"), signed[-1]]) == "invalid"
    assert reason_of(verifier, [*signed, ("stumble_bridge", b"1")]) == "invalid"
    assert reason_of(verifier, [("stumble_signature", b"no colon")]) == "damaged"
    assert reason_of(verifier, new_key(tmp_path, "cmp1").sign(TOPIC, b"k", b"event")) == "unknown_key"


def test_relay_that_names_itself_after_another_host_is_rejected(path, relay_key):
    verifier = RecordVerifier(path)
    assert verifier.verify(record(relay_key.sign(TOPIC, b"k", b"event", [(RELAY, b"cmp1")])))
    assert reason_of(verifier, relay_key.sign(TOPIC, b"k", b"event", [(RELAY, b"cmp2")])) == "foreign_host"


def test_header_that_the_client_cannot_read_is_a_rejected_record(path):
    class UnreadableHeaders(AppendedRecord):
        def headers(self):
            raise SystemError("as the client does")

    assert reason_of(RecordVerifier(path), kind=UnreadableHeaders) == "damaged"


def test_unsigned_records_are_accepted_before_the_given_time_of_the_broker(tmp_path, relay_key):
    verifier = RecordVerifier(write_public_keys(tmp_path / "keys.toml", relay_key, unsigned_until=NOON))
    assert verifier.verify(record(time_ms=NOON_MS - 1)) is None
    assert reason_of(verifier, time_ms=NOON_MS) == "unsigned"
    assert reason_of(verifier, time_ms=NOON_MS - 1, kind=WriterTimedRecord) == "unsigned", "the writer set this time"


def test_key_is_valid_until_the_given_time_of_the_broker(tmp_path, relay_key):
    line = relay_key.line.replace(" }", f", valid_until = {NOON} }}")
    verifier = RecordVerifier(write_public_keys(tmp_path / "keys.toml", more=line))
    headers = relay_key.sign(TOPIC, b"k", b"event")
    assert verifier.verify(record(headers, time_ms=NOON_MS - 1))
    assert reason_of(verifier, headers) == "expired_key"
    assert reason_of(verifier, headers, time_ms=NOON_MS - 1, kind=WriterTimedRecord) == "expired_key"


def test_changed_file_is_read_again_and_a_damaged_one_changes_nothing(tmp_path, path, relay_key):
    verifier, new = RecordVerifier(path), new_key(tmp_path, "cmp1")
    old_record, new_record = (record(key.sign(TOPIC, b"k", b"event")) for key in (relay_key, new))

    def accepted(one):
        try:
            return verifier.verify(one) is not None
        except SignatureRejected:
            return False

    write_public_keys(path, relay_key, new)
    eventually(lambda: "" if accepted(new_record) else "the new key is unknown", 20)
    assert accepted(old_record)
    write_public_keys(path, new)
    eventually(lambda: "the old key is valid" if accepted(old_record) else "", 20)
    path.write_text("[keys")
    later = write_public_keys(tmp_path / "other.toml", relay_key)
    assert accepted(new_record)
    later.rename(path)
    eventually(lambda: "" if accepted(old_record) else "the file is not read again", 20)


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("[keys", "mistake"),
        ("", "keys"),
        ('[keys]\nab = { public_key = "AAAA", hosts = ["a"] }', "the public key of ab is not an Ed25519 key"),
        ("[keys]\nab = { hosts = ['a'] }", "keys.ab.public_key"),
        ("[keys]\n{line}\nunsigned_until = 2026-01-01T00:00:00Z", "keys.unsigned_until"),
        ("unsigned_until = 2026-01-01T00:00:00\n[keys]\n{line}", "unsigned_until"),
        ("[keys]\n{line_with_other_id}", "so one of both is wrong"),
        ("[keys]\n{line_without_hosts}", "hosts"),
    ],
)
def test_mistake_in_the_file_is_one_sentence_that_names_it(tmp_path, relay_key, content, text):
    path = tmp_path / "keys.toml"
    lines = {
        "{line}": relay_key.line,
        "{line_with_other_id}": relay_key.line.replace(relay_key.created.key_id, "0" * 16),
        "{line_without_hosts}": relay_key.line.replace('"cmp1", "cmp1.example.org"', ""),
    }
    for name, line in lines.items():
        content = content.replace(name, line)
    path.write_text(content)
    with pytest.raises(PublicKeysUnusable, match=text) as caught:
        load_public_keys(path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


def test_file_that_every_user_may_change_or_that_is_missing_is_refused(path, tmp_path):
    path.chmod(0o666)
    with pytest.raises(PublicKeysUnusable, match="chmod o-w"):
        load_public_keys(path)
    with pytest.raises(PublicKeysUnusable, match="cannot be read"):
        load_public_keys(tmp_path / "missing")


def test_private_key_is_readable_by_its_user_only_and_refused_otherwise(relay_key):
    path = relay_key.created.path
    assert path.stat().st_mode & 0o777 == 0o600
    for mode in (0o604, 0o640 | 0o020):
        path.chmod(mode)
        with pytest.raises(SigningKeyUnusable, match="chmod 0600"):
            RecordSigner(path)
    path.chmod(0o440)  # as systemd and Kubernetes hand out credentials
    assert RecordSigner(path).key_id == relay_key.created.key_id
    path.chmod(0o600)
    path.write_text("-----BEGIN PRIVATE KEY-----\nsecret\n")
    with pytest.raises(SigningKeyUnusable, match="stumble keys generate") as caught:
        RecordSigner(path)
    assert "secret" not in str(caught.value)


def test_roles_without_keys_do_not_import_cryptography():
    program = (
        "import sys, stumble.relay.build, stumble.projector.build, stumble.audit.audit, stumble.deadletters.service"
    )
    check = "assert not [name for name in sys.modules if name.partition('.')[0] == 'cryptography']"
    done = subprocess.run(
        [sys.executable, "-c", f"{program}; {check}"],
        env=cli_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
