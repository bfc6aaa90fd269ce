"""Masks values that are recognisable as secrets without a name before them.

Sources of the shapes: RFC 7468 (PEM), RFC 7519 (JWT), crypt(5) (password hashes), the Fernet specification, Ceph's
``cephx`` keys (base64 of a header that begins with 0x01), and the token prefixes that the services document, as
GitHub does in "About authentication to GitHub" and GitLab in "Token overview".
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from stumble.wire.masking.values import MASK

_PEM = re.compile(r"(-----BEGIN [^-\n]{0,40}PRIVATE KEY[^-\n]{0,10}-----)(?:(?!-----END).)*", re.DOTALL)
_PEM_END = re.compile(r"(?<![A-Za-z0-9+/=])[A-Za-z0-9+/=]+(?=(?:\s|\\+[nr]){0,4}-----END [^-\n]{0,40}PRIVATE KEY)")
_PUTTY = re.compile(r"(Private-Lines: \d+\s{1,2})(?:[A-Za-z0-9+/=]{1,80}\s{0,2}){1,200}")
_CRYPT = re.compile(
    r"\$(?:1|2[abxy]?|5|6|7|y|gy|apr1|md5|sha1|scrypt|argon2\w{1,2}|pbkdf2[\w-]{0,10}|bcrypt[\w-]{0,10})"
    r"\$[\w./$=,+-]{8,}"
)
_SCRAM = re.compile(r"SCRAM-SHA-\d{1,3}\$\d{1,9}:[\w+/=$:]{8,}")
_AUTH_SCHEME = re.compile(
    r"\b((?:bearer|basic|negotiate)[ \t]{1,4})(?=[\w.+/=~-]{0,200}[\d=+/~])[\w.+/=~-]{8,}", re.IGNORECASE
)
#: A word that begins with a documented prefix.
_PREFIXED = re.compile(
    r"(?<![\w-])(?:"
    r"gAAAA[\w=-]{16,}"  # Fernet: version 0x80 and the zero bytes of its time
    r"|eyJ[\w-]{8,}\.[\w-]{4,}(?:\.[\w-]*){0,3}"  # JWT, JWE: base64 of '{"'
    r"|gh[opsur]_\w{16,}|github_pat_\w{16,}"
    r"|gl(?:pat|oas|dt|rt|rtr|cbt|ptt|ft|imt|agent|soat|ffct)-[\w.-]{16,}"
    r"|xox[a-z](?:\.xox[a-z])?-[\w-]{10,}|xapp-[\w-]{10,}"
    r"|(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{12,}"
    r"|hv[sbr]\.[\w-]{16,}|whsec_[\w+/=]{8,}"
    r"|(?:sk|rk|pk)_(?:live|test)_\w{10,}|sk-[\w-]{16,}"
    r"|AIza[\w-]{30,}|ya29\.[\w-]{16,}|SG\.[\w-]{16,}\.[\w-]{16,}"
    r"|npm_\w{16,}|pypi-\w[\w-]{16,}|dckr_pat_[\w-]{10,}|dop_v1_\w{16,}|hf_\w{16,}|shp[a-z]{2}_\w{16,}"
    r"|AGE-SECRET-KEY-1[A-Z0-9]{16,}"
    r"|AQ[A-Za-z0-9+/]{20,120}={1,2}"  # cephx
    r")"
)
#: One of these is in every text in which ``_PREFIXED`` can match.
TRIGGERS: Final = (
    *("gAAAA", "eyJ", "gho_", "ghp_", "ghs_", "ghu_", "ghr_", "github_pat_", "xox", "xapp-", "AKIA", "ASIA", "ABIA"),
    *("glpat-", "gloas-", "gldt-", "glrt-", "glrtr-", "glcbt-", "glptt-", "glft-", "glimt-", "glagent-", "glsoat-"),
    *("glffct-", "ACCA", "hvs.", "hvb.", "hvr.", "whsec_", "_live_", "_test_", "sk-", "AIza", "ya29.", "SG.", "npm_"),
    *("pypi-", "dckr_pat_", "dop_v1_", "hf_", "shp", "AGE-SECRET-KEY-", "AQ"),
)

#: A run of at least this many letters and digits is compared with the randomness of base64.
_RUN: Final = 14
_WORD: Final = 22
_IN_RUN = bytes(1 if chr(code).isascii() and chr(code).isalnum() else 0 for code in range(256))
_RUN_BYTES: Final = b"\x01" * _RUN
_BASE64 = re.compile(r"[\w+/=-]+", re.ASCII)
_LONGEST: Final = 4096
_BASE64_CHARACTERS: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=_-"
_CHANGES = re.compile(r"[a-z](?=[A-Z0-9])|[A-Z](?=[a-z0-9])|[0-9](?=[A-Za-z])")
_SAMPLE: Final = 64
#: Share of neighbours of different kinds (lower case, upper case, digit): 0.65 in base64, about 0.2 in names.
_MIXED: Final = 0.45
#: The fingerprint of a public key is no secret.
_FINGERPRINT: Final = "SHA256:"


def mask_shapes(text: str) -> str:
    """Return ``text`` with keys, tokens, hashes of passwords and random base64 replaced."""
    if "-----" in text:
        text = _PEM.sub(rf"\1{MASK}", text)
        text = _PEM_END.sub(MASK, text)
    if "Private-Lines" in text:
        text = _PUTTY.sub(rf"\1{MASK}", text)
    if "$" in text:
        text = _CRYPT.sub(MASK, _SCRAM.sub(MASK, text))
    if any(prefix in text for prefix in TRIGGERS):
        text = _PREFIXED.sub(MASK, text)
    lower = text.lower()
    if "bearer" in lower or "basic" in lower or "negotiate" in lower:
        text = _AUTH_SCHEME.sub(rf"\1{MASK}", text)
    return _mask_random(text)


def has_long_run(text: str) -> bool:
    """Return whether a text has a run of letters and digits that may be random."""
    return _RUN_BYTES in text.encode("ascii", "replace").translate(_IN_RUN)


def _mask_random(text: str) -> str:
    parts: list[str] = []
    done = 0
    for start, end in _long_runs(text):
        if start < done or not _is_random(text[start : min(end, start + _SAMPLE)]):
            continue
        first = max(done, start - _LONGEST)
        begin = first + len(text[first:start].rstrip(_BASE64_CHARACTERS))
        match = _BASE64.match(text, begin)
        stop = max(end, match.end() if match else end)
        if stop - begin < _WORD or text.endswith(_FINGERPRINT, 0, begin):
            continue
        parts += (text[done:begin], MASK)
        done = stop
    return "".join((*parts, text[done:])) if parts else text


def _long_runs(text: str) -> Iterator[tuple[int, int]]:
    raw = text.encode("ascii", "replace").translate(_IN_RUN)
    end = 0
    while (start := raw.find(_RUN_BYTES, end)) >= 0:
        end = raw.find(b"\x00", start)
        if end < 0:
            end = len(raw)
        yield start, end


def _is_random(word: str) -> bool:
    if word.isalpha() or word.islower() or word.isupper() or word.isdigit():
        return False
    return len(_CHANGES.findall(word)) >= _MIXED * (len(word) - 1)
