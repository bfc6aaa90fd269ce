"""Masks secrets in free text: messages of exceptions, and tracebacks."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from stumble.translate.fields import shorten_middle

Mask = Callable[[str], str]

_oslo: Mask | None
try:
    from oslo_utils.strutils import mask_password
except ImportError:  # without OpenStack libraries: the environment of a bridge or of another service
    _oslo = None
else:
    _oslo = mask_password

MASK: Final = "***"

_FERNET = re.compile(r"\bgAAAA[A-Za-z0-9_=-]{16,}")
_URL_USER = re.compile(r"(\b[a-zA-Z][a-zA-Z0-9+.-]{0,20}://[^\s:/@]{1,255}:)[^\s/@]{1,1024}@")
_HEADER = re.compile(
    r"(?i)\b((?:x-[a-z-]{0,32}token|authorization)['\"]?\s{0,3}[:=]\s{0,3}['\"]?(?:bearer |basic )?)[^\s'\",}]{4,}"
)
_SECRET_NAMES: Final = (
    *("password", "passwd", "_pass", "adminpass", "secret", "auth_token", "sys_pswd", "private_key", "user_data"),
    "keyring",
)
_KEY_VALUE = re.compile(
    rf"(?i)\b([a-z_-]{{0,40}}(?:{'|'.join(_SECRET_NAMES)})[a-z_-]{{0,40}}['\"]?\s{{0,3}}[:=]\s{{0,3}}u?['\"]?)"
    r"[^\s'\",;}&<>]{1,4096}"
)


def mask_secrets(value: str) -> str:
    """Return ``value`` with secrets replaced, by the rules of oslo.utils, if installed, and of this module."""
    value = shorten_middle(value)
    if _oslo is not None:
        value = _oslo(value)
    if "gAAAA" in value:
        value = _FERNET.sub(MASK, value)
    if "://" in value:
        value = _URL_USER.sub(rf"\1{MASK}@", value)
    lower = value.lower()
    if "token" in lower or "authorization" in lower:
        value = _HEADER.sub(rf"\1{MASK}", value)
    if any(name in lower for name in _SECRET_NAMES):  # most text has none of them, and the substitution is slow
        value = _KEY_VALUE.sub(rf"\1{MASK}", value)
    return value
