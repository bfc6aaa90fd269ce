"""Masks secrets in command lines, by the options of the commands that operators and drivers run.

Source: the manual pages of the commands. Options with a speaking name (``--password``) are named values instead.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Final

from stumble.wire.masking.values import MASK, Span, end_of_line, find_value

#: Between option and value: a space, an equals sign, or the border of two arguments in a printed list.
_GAP: Final = r"(?:\\*['\"]?,?[ \t]{1,4}[ub]?(?!-)|=)"
_WORD: Final = r"\\*['\"]?[^\s'\"\\]{1,128}"
_SHORT_P: Final = rf"-p(?:{_GAP}|(?=[^\s'\"\\,]|\\*['\"][^\s,]))"
_CIFS: Final = rf"(?:-U|--user){_GAP}|-U(?=\w)|username=|user="
#: What stands before a secret, by the commands that read it so.
_SECRETS: Final = {
    "ipmitool ipmipower": rf"-[PkK]{_GAP}|-P(?=[^\s'\"\\,])",
    "sshpass 7z 7za rdesktop mongo mongosh mongodump plink pscp racadm": _SHORT_P,
    "mysql mysqldump mysqladmin mysqlimport mysqlcheck mysqlshow mariadb mariadb-dump mariadb-admin": _SHORT_P,
    "docker podman helm skopeo az oc useradd usermod": rf"-p{_GAP}",
    "ldapsearch ldapadd ldapmodify ldapdelete ldapwhoami ldappasswd": rf"-[ws](?:{_GAP}|(?=[^\s'\"\\,]))",
    "redis-cli": rf"-a{_GAP}",
    "sqlcmd bcp isql unzip zip mosquitto_pub mosquitto_sub": rf"-P{_GAP}",
    "snmpget snmpwalk snmpset snmpgetnext snmpbulkwalk snmptrap": rf"-[cAX]{_GAP}",
    "xfreerdp wfreerdp": r"/p:",
    "openssl": rf"\bpass:|-(?:k|K|hmac){_GAP}",
    "htpasswd": rf"-\w{{0,4}}b\w{{0,4}}{_GAP}{_WORD}{_GAP}{_WORD}{_GAP}",
    "rabbitmqctl": rf"(?:add_user|change_password|authenticate_user){_GAP}{_WORD}{_GAP}",
    "virsh": (rf"--base64{_GAP}|secret-set-value{_GAP}{_WORD}{_GAP}|set-user-password{_GAP}{_WORD}{_GAP}{_WORD}{_GAP}"),
    "rbd ceph rados cephfs ceph-fuse ceph-authtool radosgw-admin": rf"--(?:key|add-key|secret|access-key){_GAP}",
}
#: The same for ``user:password`` and ``user%password``; user and separator stay.
_PAIRS: Final = {
    "curl http https": (":", rf"-[uU](?:{_GAP}|(?=\w))|--(?:proxy-)?user{_GAP}"),
    "smbclient rpcclient winexe net smbmap smbget wmic mount mount.cifs": ("%", _CIFS),
}


def _compiled() -> Iterator[tuple[str, tuple[str, re.Pattern[str]]]]:
    table = {tools: ("", pattern) for tools, pattern in _SECRETS.items()} | _PAIRS
    for tools, (separator, pattern) in table.items():
        compiled = re.compile(rf"(?<=[\s'\",(\[])(?:{pattern})")
        for tool in tools.split():
            yield tool, (separator, compiled)


_OPTIONS: Final = dict(_compiled())
#: How far the arguments of a command are followed.
_MAX_ARGUMENTS: Final = 1024

_CHPASSWD: Final = "chpasswd"
#: A text with more accounts is no message, and would take long: its rest is replaced.
_MAX_ACCOUNTS: Final = 100
_ACCOUNT = re.compile(r"(?<![\w:/.])[A-Za-z_][\w-]{0,31}:(?![:/\s*])(?=[^\s'\"|])")
#: A secret that a shell gives to a command's standard input.
_PIPED = re.compile(
    r"(\b(?:echo|printf)[ \t]{1,4}(?:-\w{1,4}[ \t]{1,4})?)[^|\n]{1,256}"
    r"(?=\|[ \t]{0,4}(?:/[\w./-]{0,64}/)?(?:sudo|\w{0,8}passwd|cryptsetup|docker|podman|helm|su|openssl|gpg|kinit)\b)"
)
_HERE = re.compile(r"(<<<[ \t]{0,4})(?:'[^'\n]{1,256}'|\"[^\"\n]{1,256}\"|[^\s'\"]{1,256})")
_CLOUD_CONFIG: Final = "#cloud-config"


#: One of these is in every command line with a secret.
TRIGGERS: Final = (" -", "'-", '"-', "/p:", "pass:", "rabbitmqctl", "virsh", "user=", "username=", "<<<", "|")


@lru_cache(maxsize=64)
def _commands(tools: tuple[str, ...]) -> re.Pattern[str]:
    names = "|".join(re.escape(tool) for tool in sorted(tools, key=len, reverse=True))
    return re.compile(rf"(?<![\w.-])(?:{names})(?![\w.:-])")


def mask_commands(text: str) -> str:
    """Return ``text`` with the secrets in command lines and in the user data of instances replaced."""
    if _CLOUD_CONFIG in text:  # whatever an instance is given at its first start
        text = text.partition(_CLOUD_CONFIG)[0] + _CLOUD_CONFIG + MASK
    if _CHPASSWD in text:
        text = _replace(text, _account_spans(text))
    if any(map(text.__contains__, TRIGGERS)):
        text = _HERE.sub(rf"\1{MASK}", _PIPED.sub(rf"\1{MASK} ", text))
        text = _replace(text, _argument_spans(text))
    return text


def _replace(text: str, spans: Iterator[Span]) -> str:
    parts: list[str] = []
    done = 0
    for start, end in spans:
        if start >= done:
            parts += (text[done:start], MASK)
            done = end
    return "".join((*parts, text[done:])) if parts else text


def _argument_spans(text: str) -> Iterator[Span]:
    known = tuple(tool for tool in _OPTIONS if tool in text)
    tools = list(_commands(known).finditer(text)) if known else []
    done = 0
    for number, tool in enumerate(tools):
        separator, options = _OPTIONS[tool[0]]
        end = tools[number + 1].start() if number + 1 < len(tools) else len(text)
        end = end_of_line(text, tool.end(), min(end, tool.end() + _MAX_ARGUMENTS))
        for option in options.finditer(text, tool.end(), end):
            value = find_value(text, option.end()) if option.start() >= done else None
            if value is None:
                continue
            done = value[1]
            start = text.find(separator, *value) + 1 if separator else value[0]
            if start and start < value[1]:
                yield start, value[1]


def _account_spans(text: str) -> Iterator[Span]:
    """Yield the passwords in ``user:password``, the input of ``chpasswd``, near its name."""
    position = done = number = 0
    while (position := text.find(_CHPASSWD, position)) >= 0:
        start = max(text.rfind("\n", 0, position) + 1, position - _MAX_ARGUMENTS // 4)
        end = position + _MAX_ARGUMENTS
        for account in _ACCOUNT.finditer(text, start, end):
            value = find_value(text, account.end()) if account.start() >= done else None
            if value is None:
                continue
            number += 1
            done = value[1] if number < _MAX_ACCOUNTS else len(text)
            yield value[0], done
        position = end
