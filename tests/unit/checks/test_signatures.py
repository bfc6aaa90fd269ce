"""`stumble check signatures`: the files of keys, without a broker."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta

import pytest

from stumble.checks.model import CheckContext, CheckLevel
from stumble.checks.signatures import check_signatures
from stumble.settings.base import Settings
from stumble.settings.kafka import KafkaSettings
from tests.support.signing import new_key, write_public_keys


@pytest.fixture
def relay_key(tmp_path):
    return new_key(tmp_path, "cmp1")


def results(private=None, public=None):
    kafka = KafkaSettings(signing_key_file=private, public_keys_file=public)
    return {(one.level, one.says) for one in check_signatures(CheckContext(Settings(kafka=kafka)))}


def test_pair_of_files_that_fit_together_is_fine(tmp_path, relay_key):
    found = results(relay_key.created.path, write_public_keys(tmp_path / "keys.toml", relay_key))
    assert found == {
        (CheckLevel.FINE, f"the relay signs with key {relay_key.created.key_id}"),
        (CheckLevel.FINE, "1 public keys"),
    }


def test_public_keys_without_the_key_of_this_host_are_wrong(tmp_path, relay_key):
    found = results(relay_key.created.path, write_public_keys(tmp_path / "keys.toml", new_key(tmp_path, "cmp2")))
    (says,) = [says for level, says in found if level is CheckLevel.WRONG]
    assert relay_key.created.key_id in says


def test_files_that_other_users_can_use_are_wrong(tmp_path, relay_key):
    public = write_public_keys(tmp_path / "keys.toml", relay_key)
    relay_key.created.path.chmod(0o644)
    public.chmod(0o666)
    assert {level for level, _ in results(relay_key.created.path, public)} == {CheckLevel.WRONG}


def test_expired_key_of_this_host_is_wrong(tmp_path, relay_key):
    past = (datetime.now(UTC) - timedelta(days=1)).isoformat()
    line = relay_key.line.replace(" }", f", valid_until = {past} }}")
    kafka = KafkaSettings(
        signing_key_file=relay_key.created.path, public_keys_file=write_public_keys(tmp_path / "k.toml", more=line)
    )
    checked = check_signatures(CheckContext(Settings(kafka=kafka)))
    (wrong,) = [one for one in itertools.islice(checked, 3) if one.level is CheckLevel.WRONG]
    assert "no longer valid" in wrong.says


def test_key_that_expires_soon_is_a_warning(tmp_path, relay_key):
    soon = (datetime.now(UTC) + timedelta(days=3, hours=1)).isoformat()
    line = relay_key.line.replace(" }", f", valid_until = {soon} }}")
    findings = check_signatures(
        CheckContext(Settings(kafka=KafkaSettings(public_keys_file=write_public_keys(tmp_path / "k.toml", more=line))))
    )
    assert next(findings).level is CheckLevel.FINE
    expiring = next(findings)
    assert (expiring.level, expiring.says) == (CheckLevel.WARNING, "it is valid for 3 more days")
    assert "cmp1" in expiring.todo
