"""Read from Nova's configuration where it sends its notifications."""

from __future__ import annotations

import configparser
import re
from collections.abc import Iterator
from pathlib import Path

from stumble.bridge.settings import DEFAULT_TOPICS, TransportSettings
from stumble.wire.errors import StumbleError

__all__ = ["transports_of"]

_SECTION = "oslo_messaging_notifications"
_SENDS = re.compile(r"^\s*driver\s*=\s*(messagingv2|messaging)\s*$", re.MULTILINE)


def transports_of(path: Path) -> Iterator[TransportSettings]:
    """Yield the message bus to which a ``nova.conf`` sends notifications; nothing if it sends none.

    Raises ``StumbleError`` if the file is not valid or names no message bus.
    """
    text = path.read_text(encoding="utf-8")
    # oslo.config lets an option occur several times and knows no interpolation.
    parser = configparser.RawConfigParser(strict=False, allow_no_value=True, default_section="")
    try:
        parser.read_string(text)
    except configparser.Error as error:
        raise StumbleError(f"{path} is not a valid file of oslo.config ({type(error).__name__}); correct it.") from None
    if not _SENDS.search(text):
        return
    url = parser.get(_SECTION, "transport_url", fallback=None) or parser.get("DEFAULT", "transport_url", fallback=None)
    if not url:
        raise StumbleError(f"{path} names no transport_url: name the message bus with --transport.")
    topics = [parser.get(_SECTION, "topics", fallback="notifications"), DEFAULT_TOPICS[1]]
    versioned = parser.get("notifications", "versioned_notifications_topics", fallback=None)
    names = [name.strip() for text in (topics[0], versioned or topics[1]) for name in text.split(",")]
    options = dict(parser.items("oslo_messaging_rabbit")) if parser.has_section("oslo_messaging_rabbit") else {}
    yield TransportSettings.model_validate({"name": path.name, "url": url.strip(), "topics": names, "options": options})
