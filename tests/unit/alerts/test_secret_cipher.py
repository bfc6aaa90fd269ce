"""Secrets of subscriptions are stored encrypted; every configured key decrypts, the first one encrypts."""

from __future__ import annotations

import uuid

import pytest
from pydantic import SecretStr

from stumble.alerts.secret_cipher import SecretCipher, SecretCipherError, new_key
from stumble.alerts.subscriptions import new_secret
from stumble.settings.base import SettingsError, load_settings

OLD, NEW = new_key(), new_key()
ID, OTHER = str(uuid.uuid4()), str(uuid.uuid4())


def test_stored_secret_is_encrypted_and_can_be_decrypted():
    secret = new_secret()
    stored = SecretCipher([OLD]).encrypt(ID, secret)
    assert secret not in stored
    assert "whsec" not in stored
    assert stored != SecretCipher([OLD]).encrypt(ID, secret), "equal secrets do not look equal"
    assert SecretCipher([OLD]).decrypt(ID, stored) == secret


def test_first_key_encrypts_and_each_key_decrypts():
    secret = new_secret()
    stored = SecretCipher([OLD]).encrypt(ID, secret)
    both = SecretCipher.of(SecretStr(f"{NEW}\n{OLD}\n"))
    assert both.decrypt(ID, stored) == secret
    assert (both.is_readable(ID, stored), both.is_current(ID, stored)) == (True, False)
    again = both.encrypt_again(ID, stored)
    assert both.is_current(ID, again)
    assert SecretCipher([NEW]).decrypt(ID, again) == secret
    assert not SecretCipher([OLD]).is_readable(ID, again)


@pytest.mark.parametrize("keys", [[], [NEW]], ids=["no key", "another key"])
def test_secret_without_its_key_is_an_error_that_names_setting_and_subscription(keys):
    stored = SecretCipher([OLD]).encrypt(ID, new_secret())
    with pytest.raises(SecretCipherError, match=rf"{ID} cannot be decrypted .* STUMBLE_SUBSCRIPTION_KEYS"):
        SecretCipher(keys).decrypt(ID, stored)


def test_secret_of_another_subscription_or_changed_or_in_plain_text_is_rejected():
    cipher, secret = SecretCipher([OLD]), new_secret()
    stored = cipher.encrypt(ID, secret)
    changed = stored[:40] + ("A" if stored[40] != "A" else "B") + stored[41:]
    for owner, text in ((OTHER, stored), (ID, changed), (ID, secret), (ID, ""), (ID, "\N{SNOWMAN}")):
        assert not cipher.is_readable(owner, text)
    assert cipher.decrypt(ID, cipher.encrypt_again(ID, secret)) == secret, "an operator can encrypt plain text"


def test_nothing_is_encrypted_without_a_key():
    with pytest.raises(SecretCipherError, match=r"STUMBLE_SUBSCRIPTION_KEYS .* `stumble subscriptions new-key` prints"):
        SecretCipher.of(None).encrypt(ID, new_secret())


def test_keys_come_from_the_secrets_directory(tmp_path, monkeypatch):
    monkeypatch.setenv("STUMBLE_SECRETS_DIR", str(tmp_path))
    (tmp_path / "subscription_keys").write_text(f"{NEW}\n{OLD}\n")
    keys = load_settings().subscription_keys
    assert keys is not None
    assert keys.get_secret_value().split() == [NEW, OLD]
    (tmp_path / "subscription_keys").write_text(f"{NEW}\nno-key-at-all\n")
    with pytest.raises(SettingsError, match="SUBSCRIPTION_KEYS is wrong: key 2 is not a key") as error:
        load_settings()
    assert "no-key-at-all" not in str(error.value)
