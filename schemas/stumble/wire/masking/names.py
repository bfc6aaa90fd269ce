"""Masks values after a name that says that they are secret: ``password=…``, ``"auth_token": "…"``, ``<secret>…``."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from stumble.wire.masking.values import MASK, QUOTE, Span, bracketed, find_value, is_quoted

#: Parts of the names of secrets, in lower case. Each alternative begins with a letter, which makes the search fast.
_NAME = re.compile(
    r"""(?P<stem>pass(?:w(?:or)?d|wrd|phrase|code|w?(?![a-z]))|pswd|pwd?(?![a-z])|psk(?![a-z])|personality
        |secret|identified[ ]by|bindpw(?![a-z])|rootpw(?![a-z])
        |sig(?:nature|(?![a-z]))|sess(?:ion)?_?id|token|authorization|otp(?![a-z])|credential|cookie|community
        |key(?:ring)?|user[_-]?data|injected[_-]?files)(?P<rest>[\w-]{0,40})""",
    re.VERBOSE,
)
#: What makes the last word of a name, ``pass`` or ``key``, that of a secret.
_BEFORE_PASS = re.compile(
    r"(?:^|[^a-z]|admin|root|user|db|rescue|become|sudo|new|old|vnc|guest|ssh|bind|mysql|ftp|proxy|smtp|auth|login)$"
)
_BEFORE_KEY = re.compile(
    r"(?:private|secret|access|encryption|decryption|api|auth|client|shared|account|storage|master|signing|service"
    r"|session|preshared|hmac|wrapping|encrypt|luks|dmcrypt|ssl|tls|kek|dek)[_. -]?$"
    r"|[^\s:]:$"  # in the name of an image: "rbd:pool/volume:id=nova:key=…"
)
#: One of these is in every text in which ``_NAME`` can match.
TRIGGERS: Final = (
    *(
        "pass",
        "pswd",
        "pw",
        "secret",
        "token",
        "authorization",
        "sig",
        "key",
        "credential",
        "psk",
        "otp",
        "identified by",
    ),
    *("user_data", "user-data", "userdata", "injected", "personality", "cookie", "community", "sess"),
)
#: Ends of names that tell of a secret but do not hold it.
_NO_SECRET = re.compile(
    r"(?:uuid|type|names?|file|files|path|length|size|count|expir\w*|expires_at|issued_at|ttl|timeout|bits|algorithm"
    r"|method|required|policy|ur[li]|ref|href|manager|format|driver|version|enabled|provider|backend"
    r"|failed|failure|rejected|error|notfound|exception|expired|invalid|mismatch|fault|warning|denied|exists|unavailable)$"
)
_KEY_NO_SECRET = re.compile(r"(?:id|ids|pair|pairs|s|error)$")
_PLAIN = re.compile(
    r"(?:none|null|nil|true|false|yes|no|undefined|unset|empty|not|is|was|required|missing|optional|\*+)[.,;:]?$",
    re.IGNORECASE,
)
_UUID = re.compile(r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}")

#: What stands between a name and its value.
_SEPARATOR = re.compile(
    rf"""(?P<object>(?<=secret)\\*["']?,[^{{}}\n]{{0,200}}?\bdata\\*["']?[ ]?[:=][ ]?
        |(?<=secret)[ ][^<>\n]{{0,200}}?[ ]value=)
    |(?P<named>\\*["'][\s,]{{0,4}}\\*["']?(?:value|val|content|data)\\*["']?\s{{0,4}}[:=][ \t]{{0,4}}|\.?[ ]Value:[ ]
        |</\w{{1,16}}>\s{{0,16}}<value>)
    |(?P<encoded>{QUOTE}?%(?:25)?3[aAdD](?:%(?:25)?20)?)
    |(?P<assigned>{QUOTE}?\]?[ \t]{{0,8}}(?:=>|:=|={{1,2}}|:(?![:/]))[ \t]{{0,64}})
    |(?P<set>\\*["']?,?[ \t]{{1,4}}\\*["']?(?:-v|--value)\\*["']?,?[= \t]{{1,4}}[ub]?)
    |(?P<item>\\*["'],[ \t]{{0,4}}(?=[ub]{{0,2}}\\*["']))
    |(?P<call>(?=\([^()\n]{{0,256}}["']))
    |(?P<spaced>\\*["']?,?[ \t]{{1,4}})""",
    re.VERBOSE,
)
_TAG_END = re.compile(r"""(?P<element>\\*["']?(?!\s+value=)(?:\s[^<>&]{0,200})?(?<!/)>)""")
_ESCAPED_TAG_END = re.compile(r"(?P<element>(?:\s[^<>]{0,200}?)?(?<!/)&gt;)")
_ELEMENT_END = re.compile(r"<!\[CDATA\[.*?\]\]>|[^<&]*(?:&(?!lt;)[^<&]*)*", re.DOTALL)
_WORD_CHARACTERS: Final = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-"
_TUPLE = re.compile(r"[(\[]\s{0,8}[ub]{0,2}\\{0,8}['\"]$")
_ELEMENT_STARTS: Final = ("<", 'name="', "name='", 'name=\\"', "name=\\'")
#: The class of an exception in a traceback: "cryptography.fernet.InvalidToken: …".
_CLASS = re.compile(r"[a-z_]\w{0,40}\.[A-Z]\w{0,60}$")
#: What follows "Failed to set the password: " is a reason, not a password.
_REASON = re.compile(r"\b(?:fail\w*|unable|cannot|could not|error|check)\b[^:,;=\n'\"{]{0,60}$", re.IGNORECASE)
_LINE_START = re.compile(r"^[ \t]*(?:export |set |[-<>*+] )?[\w.-]*$")
_SCHEME = re.compile(r"(?:basic|bearer|negotiate|token|apikey|ntlm)[ \t]+", re.IGNORECASE)
_LONG_SCHEME = re.compile(r"(?:digest|aws4|oauth|hawk|signature)\b", re.IGNORECASE)
_HEADER_LINE = re.compile(r"[^\r\n]+")
_VERB = re.compile(
    r"(?:for[ \t]{1,4}(?:\w{1,32}[ \t]{1,4})?[^\s:]{1,64}?(?:[ \t]{1,4}(?:to|is|was)|:)[ \t]{1,4})?"
    r"(?:(?:is|was|are|to|as|now|value|set|of|password)(?:[ \t]{1,4}|:[ \t]{1,4})){0,3}"
)
#: Stems after which a secret may follow without a separator ("the new password is …").
_IN_SENTENCES: Final = frozenset(
    (
        "password",
        "passwd",
        "passphrase",
        "passcode",
        "secret",
        "token",
        "pwd",
        "key",
        "identified by",
        "bindpw",
        "rootpw",
    )
)
_SENTENCE_VALUE = re.compile(r"(?!\w+=)(?:(?=[^\s'\"]*\d)(?=[^\s'\"]*[A-Za-z])|(?=[^\s'\"]*[!@#$%^&*+~]))")
#: A value of these short or ordinary names counts from this length.
_LONG_ONLY: Final = {"sig": 8, "sessionid": 8, "sessid": 8, "session_id": 8, "community": 2, "otp": 4}
#: A text with more names is no message, and would take long: its rest is replaced.
_MAX_NAMES: Final = 500
#: A word in a sentence counts as a secret from this length, if it has digits or signs.
_SENTENCE_LENGTH: Final = 6
_BEFORE: Final = 80
_FRAME = re.compile(r"[, \t]{0,16}File \"")


def mask_named_values(text: str) -> str:
    """Return ``text`` with each value replaced whose name says that it is secret."""
    lower = text.lower() if "\u0130" not in text else text.replace("\u0130", "I").lower()  # its lower case is longer
    parts: list[str] = []
    done = 0
    for number, name in enumerate(_NAME.finditer(lower)):
        if name.start() < done:
            continue
        if number >= _MAX_NAMES:
            return "".join((*parts, text[done : name.start()], MASK))
        span = _value_of(text, name)
        if span is not None and span[0] >= done:
            parts += (text[done : span[0]], MASK)
            done = span[1]
    return "".join((*parts, text[done:])) if parts else text


def _value_of(text: str, name: re.Match[str]) -> Span | None:
    before = text[max(0, name.start() - _BEFORE) : name.start()]
    outside = before.rstrip(_WORD_CHARACTERS + ":")
    tag_end = _ESCAPED_TAG_END if outside.endswith("&lt;") else _TAG_END if outside.endswith(_ELEMENT_STARTS) else None
    separator = (tag_end and tag_end.match(text, name.end())) or _SEPARATOR.match(text, name.end())
    if separator is None or _names_no_secret(name):
        return None
    if not _is_whole_word(name["stem"], before[-20:].lower()):
        return None
    span = _FINDERS[separator.lastgroup or ""](text, name, separator, before)
    return span if span is not None and _counts(text, name, span) else None


def _is_whole_word(stem: str, before: str) -> bool:
    """Return whether a short stem is a word of its own, or part of a compound that names a secret."""
    if stem == "key":
        return _BEFORE_KEY.search(before) is not None
    if stem.startswith("pass"):
        return len(stem) > 5 or _BEFORE_PASS.search(before) is not None
    return len(stem) > 3 or not before[-1:].isalpha()


def _names_no_secret(name: re.Match[str]) -> bool:
    rest = name["rest"]
    return bool(rest and (_NO_SECRET.search(rest) or (name["stem"].endswith("key") and _KEY_NO_SECRET.search(rest))))


def _counts(text: str, name: re.Match[str], span: Span) -> bool:
    """Return whether a value may be a secret: ``None``, or the uuid of libvirt's secret, is none."""
    value = text[span[0] : min(span[1], span[0] + 128)].strip()
    if len(value) < _LONG_ONLY.get(name["stem"], 1) or _PLAIN.match(value):
        return False
    stem = name["stem"]
    return not ((stem == "secret" or stem.endswith("key")) and _UUID.fullmatch(value))


def _assigned(text: str, name: re.Match[str], separator: re.Match[str], before: str) -> Span | None:
    """``name = value``, ``"name": "value"``, ``Name: value``."""
    start, stem = separator.end(), name["stem"]
    quoted = is_quoted(text, start)
    if _names_something_else(text, name, separator, before) or (not quoted and _is_source_line(text, name.start())):
        return None
    if stem in ("authorization", "cookie") and not quoted:
        return _header(text, start, stem)
    if not quoted and ": " in separator[0] and _REASON.search(before):
        return _in_sentence(text, start)
    line = before.rpartition("\n")[2].rpartition("\\n")[2]
    whole_line = (line != before or len(before) < _BEFORE) and _LINE_START.match(line) is not None
    return find_value(text, start, whole_line=whole_line)


def _names_something_else(text: str, name: re.Match[str], separator: re.Match[str], before: str) -> bool:
    """Return whether a name belongs to a path, to the class of an exception or to a flow of Open vSwitch."""
    if ":" in separator[0]:  # "/etc/passwd: permission denied"
        is_class = text.startswith(": ", name.end()) and _CLASS.search(before + text[name.start()])
        return bool(_is_path(before) or is_class)
    if name["stem"] == "cookie":
        return True
    is_folder = name["stem"] == "keyring" or (text.startswith("PWD", name.start()) and not before.endswith("_"))
    return is_folder and text.startswith("/", separator.end())


def _header(text: str, start: int, stem: str) -> Span | None:
    if stem == "cookie" or _LONG_SCHEME.match(text, start):
        match = _HEADER_LINE.match(text, start)
        return match.span() if match else None
    scheme = _SCHEME.match(text, start)
    return find_value(text, scheme.end() if scheme else start)


def _is_option(before: str, outside: str) -> bool:
    """Return whether a name is that of a command's option; ``outside`` is what stands before the whole name."""
    return before.startswith("-", len(outside)) and outside[-1:] in " \t\n'\"(,["


def _is_path(before: str) -> bool:
    return before.endswith("/") or "/" in before[len(before.rstrip(_WORD_CHARACTERS + "/")) :]


def _is_source_line(text: str, position: int) -> bool:
    """Return whether a position is in a line of source code in a traceback, where names have no values yet."""
    start = text.rfind("\n", 0, position)
    if start < 0 or "File" not in text:
        return False
    return _FRAME.match(text, text.rfind("\n", 0, start) + 1) is not None


def _encoded(text: str, name: re.Match[str], separator: re.Match[str], before: str) -> Span | None:
    """``name%3Dvalue`` in a URL-encoded text."""
    del name, before
    return find_value(text, separator.end(), encoded=True)


def _plain(text: str, name: re.Match[str], separator: re.Match[str], before: str) -> Span | None:
    """``{"name": "password", "value": "…"}`` and qemu's ``secret,id=…,data=…``."""
    del name, before
    return find_value(text, separator.end())


def _item(text: str, name: re.Match[str], separator: re.Match[str], before: str) -> Span | None:
    """``("name", "value")`` and the arguments ``"--name", "value"``; other lists contain names only."""
    del name
    outside = before.rstrip(_WORD_CHARACTERS)
    is_pair = _is_option(before, outside) or _TUPLE.search(outside, len(outside) - 20)
    return find_value(text, separator.end()) if is_pair else None


def _element(text: str, name: re.Match[str], separator: re.Match[str], before: str) -> Span | None:
    """``<name>value</name>``."""
    del name, before
    match = _ELEMENT_END.match(text, separator.end())
    return match.span() if match and match[0].strip() else None


def _call(text: str, name: re.Match[str], separator: re.Match[str], before: str) -> Span | None:
    """``setUserPassword("user", "value")``."""
    del separator, before
    return None if _is_source_line(text, name.start()) else bracketed(text, name.end())


def _set(text: str, name: re.Match[str], separator: re.Match[str], before: str) -> Span | None:
    """``iscsiadm -n node.session.auth.password -v value``."""
    del name
    outside = before.rstrip(_WORD_CHARACTERS).rstrip(" \t,'\"\\")
    return find_value(text, separator.end()) if outside.endswith("-n") else None


def _spaced(text: str, name: re.Match[str], separator: re.Match[str], before: str) -> Span | None:
    """``--name value``, and sentences such as ``the new password is value``."""
    start = separator.end()
    outside = before.rstrip(_WORD_CHARACTERS)
    if _is_option(before, outside):
        return None if text.startswith("-", start) else find_value(text, start)
    if name["stem"] not in _IN_SENTENCES or name["rest"] not in ("", "s") or outside.endswith("<"):
        return None
    verb = _VERB.match(text, start)
    start = verb.end() if verb else start
    span = _in_sentence(text, start)
    return None if span and name["stem"] == "identified by" and span[0] == start else span


def _in_sentence(text: str, start: int) -> Span | None:
    """Return the span of a value in a sentence: one in quotes, or a word that is no ordinary word."""
    span = None if text.startswith(("(", "[", "{", "/", "<"), start) else find_value(text, start)
    if span is None or span[0] > start:
        return span
    value = text[start : min(span[1], start + 128)]
    return span if len(value) >= _SENTENCE_LENGTH and _SENTENCE_VALUE.match(value) else None


_FINDERS: Final[dict[str, Callable[[str, re.Match[str], re.Match[str], str], Span | None]]] = {
    "object": _plain,
    "named": _plain,
    "encoded": _encoded,
    "assigned": _assigned,
    "set": _set,
    "item": _item,
    "element": _element,
    "call": _call,
    "spaced": _spaced,
}
