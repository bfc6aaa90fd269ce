"""Fingerprints: which failures are one problem.

A fingerprint is ``v1:`` and a hash of exception class and message, the message without what varies from one failure of
a cause to the next. Action, host and project are attributes of a problem: one dead hypervisor is one problem, whatever
was requested. A fact stores only the hash of the message.
"""

from __future__ import annotations

import re
from hashlib import blake2b

#: Nova cuts the texts of faults and action events to 255 characters: only what every signal holds may count.
_MESSAGE_CHARACTERS = 200

#: What varies, and the numbers that stay because they name a cause. An underscore ends a word, as in reply_3f2a.
_VARYING = re.compile(
    r"""
    (?<![^\W_])(?:
        (?P<kept> (?: (?:http\w{0,9}(?:/\d(?:\.\d)?)?|status|(?:err|ret|return)?code|errno|rc|signal)[\s:='"(]{0,3}
                    | error[ ] ) (?:0x[0-9a-f]{1,8}|-?\d{1,5}) (?!\w|[-.:/]\w)
                | ipv[46](?!\w) )
      | (?P<noun> (?:domain|device|flavor|host|image|instance|interface|matching[ ]name|network|node|pool|port|server
                    |volume)[ ](?P<quote>['"]) ) [^'"]+(?=(?P=quote))           # its name
      | (?P<label> (?:on|to)[ ]host[ ]|host:[ ] ) [\w.-]*\w (?=\.?(?:$|[\n,;)\]'"]))  # its name
      | \d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?(?:Z|[+-]\d\d:?\d\d)?)?(?![^\W_])  # time
      | \d+(?:[.,]\d+)?\s?(?:%|(?:[kmgtp](?:i?b)?|b|bytes?|[mnu]?s|sec(?:ond)?s?|min(?:ute)?s?|h(?:our)?s?|days?)
        (?![^\W_]))                                                             # size, duration
      | (?:[0-9a-f]{4}:|pci_[0-9a-f]{4}_)?[0-9a-f]{2}[:_][0-9a-f]{2}[._][0-7](?![^\W_])  # PCI address
      | (?<![:_])(?:[0-9a-f]{0,4}:){2,7}[0-9a-f]{1,4}(?:/\d+)?(?![\w:])         # IPv6 or MAC address, time of day
      | \d{1,3}(?:\.\d{1,3}){3}(?::\d+|/\d+)?                                   # IPv4 address
      | [0-9a-f]{8}(?:--?[0-9a-f]{4}){3}--?[0-9a-f]{12}(?![^\W_])               # uuid, with -- in names of LVM
      | (?:0x|(?=[a-f]*\d))[0-9a-f]+(?![^\W_]) | [0-9a-f]{32}(?![^\W_])         # number, address, id
      | req-[0-9a-f-]{8,}                                                       # request id
      | (?:tap|brq|q[brv][bor]?|vhu|[fhqs][agr]-)[0-9a-f]{8}-[0-9a-f]{2}(?![^\W_])  # device of a network
      | (?-i:(?:x?v|s|h)d[a-z]{1,2})\d*(?![^\W_])                               # disk
    )
    | (?<![\w/])/[\w.@+-]+(?:/[\w.@+-]+)*/?                                     # path
    | \d+
    """,
    re.VERBOSE | re.IGNORECASE,
)
_JOINED = re.compile(r"\*(?:[-.:/,\s]{1,2}\*)+")
_LIST = re.compile(r"(?<![^\s,()\[\]{}])([^\s,()\[\]{}*]*\*[^\s,()\[\]{}*]*)(?:,\s?\1)+(?![^\s,.;:()\[\]{}])")
_SPACE = re.compile(r"\s+")


def normalise_message(message: str) -> str:
    """Return a message in one line, with ids, addresses, devices, paths, times, sizes and numbers replaced by ``*``.

    Numbers that name a cause stay: those of HTTP, ``errno``, status, signal and exit codes. A list becomes one value.
    """
    text = _SPACE.sub(" ", _VARYING.sub(_replacement, message[: _MESSAGE_CHARACTERS * 2])).strip()
    return _LIST.sub(r"\1", _JOINED.sub("*", text))[:_MESSAGE_CHARACTERS]


def _replacement(varying: re.Match[str]) -> str:
    return varying["kept"] or (varying["noun"] or varying["label"] or "") + "*"


def message_hash(message: str | None) -> str | None:
    """Return 16 hexadecimal digits for the normalised message, None without one."""
    if not message:
        return None
    return blake2b(normalise_message(message).encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


def fingerprint_of(exception: str, hashed_message: str | None) -> str:
    """Return the problem that a failure of this class and hashed message belongs to."""
    text = f"{exception}\x1f{hashed_message or ''}"
    return "v1:" + blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
