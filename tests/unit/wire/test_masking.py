"""Secrets in texts are masked, whatever the form; texts without a secret stay."""

from __future__ import annotations

import html
import json
import re
import shlex
import time
from urllib.parse import quote

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from stumble.wire.masking import MASK, MAX_TEXT, mask_secrets
from tests.unit.wire.secret_forms import FORMS, PLAIN

_PART = 6


def parts_of(secret: str) -> list[str]:
    """Return the parts of a secret that must not remain."""
    return [part for part in re.split(r"[^\w+=%-]+", secret) if len(part) >= _PART] or [secret]


@pytest.mark.parametrize(("text", "secret"), [form[1:] for form in FORMS], ids=[form[0] for form in FORMS])
def test_no_part_of_a_secret_remains(text: str, secret: str):
    masked = mask_secrets(text.format(secret))
    assert [part for part in [secret, *parts_of(secret)] if part in masked] == []
    assert MASK in masked
    assert mask_secrets(str(masked)) == masked


@pytest.mark.parametrize("text", PLAIN)
def test_text_without_a_secret_stays(text: str):
    assert mask_secrets(text) == text


def test_text_around_a_secret_stays():
    text = "rabbit://nova:one@r1:5672,nova:two@r2:5672/vhost is down, password=abc, retry on cmp1"
    assert mask_secrets(text) == (
        "rabbit://nova:***@r1:5672,nova:***@r2:5672/vhost is down, password=***, retry on cmp1"
    )


#: How a secret is written in each notation, and texts that contain it there.
_NOTATIONS = (
    (json.dumps, ('{{"a": 1, "password": {}, "b": 2}}', '{{"auth": {{"admin_pass": {}}}}} at cmp1')),
    (lambda secret: json.dumps(json.dumps({"auth_password": secret})), ('{{"connection_info": {}}}', "error with {}")),
    (repr, ("{{'adminPass': {}, 'x': 1}}", "Client(user='nova', password={})", "[('X-Auth-Token', {})]")),
    (lambda secret: repr(repr({"secret": secret})), ("message: {}",)),
    (shlex.quote, ("openstack --os-password {} server list", "ipmitool -U a -P {} power on", "sshpass -p {} ssh h")),
    (html.escape, ("<password>{}</password>", '<property name="password" value="{}"/>')),
    (lambda secret: quote(secret, safe=""), ("https://nova:{}@cinder/v3", "x?password={}&a=b", "x?a=%3Ftoken%3D{}")),
    (str, ("amqp://nova:{}@rabbit1:5672/", "mysql+pymysql://nova:{}@db/nova", "[db]\npassword = {}\nuser = nova")),
)
_TEMPLATES = [(write, template) for write, templates in _NOTATIONS for template in templates]
#: Begins and ends with letters, since a delimiter there is not part of what a reader would take for the secret.
_SECRETS = st.builds(
    lambda inside: f"Qv7{inside}zK4", st.text(alphabet="abcXYZ019'\"/\\ @:,;&%#=?!$<>{}()[]+-._|", max_size=30)
)


@settings(max_examples=400, deadline=None)
@example(_TEMPLATES[0], "Qv7\\zK4")
@given(st.sampled_from(_TEMPLATES), _SECRETS)
def test_any_secret_in_its_notation_is_masked(template: tuple, secret: str):
    write, text = template
    written = write(secret)
    masked = mask_secrets(text.format(written))
    assert secret not in masked
    assert written not in masked
    assert "Qv7" not in masked


_WORDS = st.sampled_from(
    [word for _, text, secret in FORMS for word in re.split(r"(\W+)", text.format(secret))]
    + ["\n", MASK, "'", '"', "\\"]
)


@settings(max_examples=400, deadline=None)
@given(st.lists(_WORDS, max_size=40).map("".join))
def test_masked_text_stays_when_it_is_masked_again(text: str):
    masked = mask_secrets(text)
    assert mask_secrets(str(masked)) == masked


@pytest.mark.parametrize("before", range(0, 40, 3))
def test_secret_at_the_cut_of_a_long_text_is_masked(before: int):
    half = MAX_TEXT // 2
    for position in (half - before, -half - before):
        filler = "x " * 60_000
        text = f"{filler[:position]} password='Qv7abcdef ghijkl' {filler[position:]}"
        masked = mask_secrets(text)
        assert "abcdef" not in masked
        assert "ghijkl" not in masked
        assert len(masked) <= MAX_TEXT
        assert mask_secrets(str(masked)) == masked


_FRAGMENTS = (
    *("password", "password ", "password   =", "password='", "pwd ", "secret-", "token: ", "user_data_", "-password"),
    *("x://", "http://a:", "amqp://a:b ", "a:b1@", "@", "%3Atoken%3D", "gAAAA", "-eyJ", "/AQ", "AQ/", "x-token", "a-"),
    *("-----BEGIN PRIVATE KEY-----", "-----END PRIVATE KEY-----", "x" * 40, "aB1" * 10 + "/", "$6$", "SHA256:aB1"),
    *(
        "chpasswd a:",
        "x:=chpasswd-u@",
        "mysql -p",
        "net -U a%",
        "curl -u\n",
        "\\'",
        '\\"',
        "password=[\n",
        "'password'",
    ),
    *("virSecretSetValue('')\n", "X-Auth-Token: 0\n", "|\n cookie:", "secret,id=", 'File "\npassword=', "Basic 1"),
)


@pytest.mark.parametrize("fragment", [*_FRAGMENTS, *(text.format("x") + "\n" for _, text, _ in FORMS)])
def test_longest_text_is_masked_in_bounded_time(fragment: str):
    assert_is_masked_fast((fragment * MAX_TEXT)[:MAX_TEXT])


@pytest.mark.parametrize("start", ["-----", "-----END PRIVATE KEY-----"])
def test_long_text_after_a_mark_is_masked_in_bounded_time(start: str):
    for fragment in ("a", "a ", "a\\", "\\"):
        assert_is_masked_fast(start + (fragment * MAX_TEXT)[: MAX_TEXT - len(start)])


def assert_is_masked_fast(text: str) -> None:
    times = []
    for _ in range(3):
        start = time.process_time()
        mask_secrets(text)
        times.append(time.process_time() - start)
    assert min(times) < 0.5, "the CPU time grows with the square of the length: linear time is below 0.05 s"
