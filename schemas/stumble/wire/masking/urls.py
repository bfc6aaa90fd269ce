"""Masks user and password in URLs, also where the password contains what a URL parser does not allow."""

from __future__ import annotations

import re
from typing import Final

from stumble.wire.masking.values import MASK

#: Separates scheme and authority: directly, with the slashes that JSON escapes, or URL-encoded.
_SEPARATOR = re.compile(r"(:(?:\\?/){2}|%(?:25)?3[aA](?:%(?:25)?2[fF]){2})")
#: What belongs to the URL: a quote only where no delimiter follows it.
_RUN = re.compile(r"""(?:[^\s'"<>\\]|\\(?!["'nr])|\\?['"](?![\s,;:)}\]>]|$))+""")
_PORT = re.compile(r"[\w.-]*\.[\w.-]*:\d{1,5}[/?#]|localhost:\d{1,5}[/?#]")
#: A user and the beginning of a password, where no port or path can be meant.
_BEGUN = re.compile(r"[^\s:/@\[?#'\"]{0,128}:(?!\d{1,5}(?:[/?#.,;)]|\s|$)|\s|$|[/?#])")
_UNFINISHED = re.compile(r"[^\s:/@\[?#'\"]{0,128}:(?!\d{1,5}[/?#])[^\s@]+")
_NEXT_HOST = re.compile(r"(@(?:[\w.-]+:\d{1,5}|[\w-]+(?:\.[\w-]+)*|\[[0-9a-fA-F:.]+\](?::\d{1,5})?),)")
_ENCODED_USER = re.compile(r"((?:^|%40)[^\s&'\"%]{0,64}%(?:25)?3[aA])[^\s&'\"]{1,256}?(?=%(?:25)?40)")
_OPAQUE = re.compile(r"(?=[^@]*\d)(?=[^@]*[A-Za-z])[^\s/?#@:]{16,}")
#: What GitHub documents as password where the user is a token.
_NO_PASSWORD: Final = "x-oauth-basic"  # noqa: S105
#: How far a password with spaces is followed.
_MAX_PASSWORD: Final = 256
#: ``user:password@host`` without a scheme; the password contains a character that a name or a tag rarely has.
_BARE_USER = re.compile(
    r"(?<![\w.:/@%+-])([\w.%+-]{1,64}:)(?!/)(?=[^\s@]{0,64}[\d!#$%^&*/+=?])[^\s@:'\"]{4,128}"
    r"@(?!sha\d|[\w.-]{1,64}\#)(?=[\w\[])"
)

_PERCENT_USER = re.compile(
    r"((?<![\w-])(?:-U[ \t]{0,4}|user(?:name)?=(?=[^\s%]{1,64}%(?![0-9A-Fa-f]{2})))['\"]?[\w.\\/-]{1,64}%)[^\s'\",]+"
)


def mask_urls(text: str) -> str:
    """Return ``text`` with the passwords of its URLs replaced; user and host stay."""
    if "://" not in text and ":\\/" not in text and "%2" not in text:
        return text
    parts = _SEPARATOR.split(text)
    result, number = [parts[0]], 1
    while number < len(parts):
        separator, rest = parts[number : number + 2]
        number += 2
        while number < len(parts) and len(rest) < _MAX_PASSWORD and _UNFINISHED.fullmatch(rest):
            rest += parts[number] + parts[number + 1]  # the password contains "://"
            number += 2
        if separator[0] == "%":
            rest = _ENCODED_USER.sub(rf"\1{MASK}", rest)
        elif "@" in rest:
            rest = _mask_authority(rest)
        result += (separator, rest)
    return "".join(result)


def mask_bare_users(text: str) -> str:
    """Return ``text`` with the password of each ``user:password@host`` and ``user=name%password`` replaced."""
    if "%" in text:
        text = _PERCENT_USER.sub(rf"\1{MASK}", text)
    return _BARE_USER.sub(rf"\1{MASK}@", text) if "@" in text else text


def _mask_authority(text: str) -> str:
    """Mask the authority with which ``text`` begins, up to the next separator of the whole text."""
    run = _RUN.match(text)
    end = run.end() if run else 0
    at = text.rfind("@", 0, end)
    if at < 0 or (at > 0 and _ends_at_a_word(text, at, end)):
        at = max(at, _at_after_spaces(text, end))
    if at < 0:
        return text
    userinfo = text[:at]
    if "/" in userinfo.partition(":")[0] or _PORT.match(userinfo):  # the at sign is part of a path
        return text
    return _mask_userinfo(userinfo) + text[at:]


def _ends_at_a_word(text: str, at: int, end: int) -> bool:
    """Return whether what follows the last at sign is one word: it may be a part of a password with spaces."""
    return text[at + 1 : end].isalnum() and end < len(text) and text[end] in " '\""


def _at_after_spaces(text: str, end: int) -> int:
    if not _BEGUN.match(text):
        return -1
    line_end = text.find("\n", end, end + _MAX_PASSWORD)
    return text.rfind("@", end, line_end if line_end >= 0 else end + _MAX_PASSWORD)


def _mask_userinfo(userinfo: str) -> str:
    """Mask ``user:password``, a token alone, or oslo.messaging's list ``user:password@host:port,user:password``."""
    if ":" not in userinfo:
        return MASK if _OPAQUE.fullmatch(userinfo) else userinfo
    parts = _NEXT_HOST.split(userinfo)
    for number in range(0, len(parts), 2):
        user, colon, password = parts[number].partition(":")
        if _OPAQUE.fullmatch(user) or password == _NO_PASSWORD:  # a token in place of the user
            user = MASK
        if colon and password:
            parts[number] = f"{user}:{MASK}"
    return "".join(parts)
