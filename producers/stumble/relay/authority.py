"""What the relay accepts from whom: the users that it serves, and the hosts that their events may name."""

from __future__ import annotations

import re
from collections.abc import Callable
from fnmatch import translate
from typing import NamedTuple

from stumble.outbox.folders import default_users
from stumble.relay.settings import RelaySettings, uid_of
from stumble.settings.base import Settings

_MOST_KNOWN = 1024


class Authority(NamedTuple):
    """The users that a relay serves, and what each may say."""

    host: str
    """Name of the relay's own host."""
    users: frozenset[int]
    bridges: frozenset[int]
    """Users whose events may name any host; the relay marks these events."""
    allows_host: Callable[[str], bool]
    """Whether the events of the other users may name a host."""

    def may_name(self, uid: int, host: str) -> bool:
        """Return whether an event or a process of this user may name a host; an empty name names none."""
        return bool(host) and (uid in self.bridges or self.allows_host(host))


def load_authority(settings: Settings, given: RelaySettings) -> Authority:
    """Return what the configuration says; the outbox directory exists, unless ``given`` names the users."""
    bridges = frozenset(map(uid_of, given.bridge_users))
    users = frozenset(map(uid_of, given.users)) or default_users(str(settings.outbox_dir))
    return Authority(settings.host, users | bridges, bridges, _host_rule(given.hosts or (settings.host,)))


def _host_rule(patterns: tuple[str, ...]) -> Callable[[str], bool]:
    """Return a function that tells whether a host matches a pattern; it remembers the hosts that it saw."""
    match = re.compile("|".join(map(translate, patterns))).match
    known: dict[str, bool] = {}

    def allows(host: str) -> bool:
        result = known.get(host)
        if result is None:
            if len(known) >= _MOST_KNOWN:
                known.clear()
            result = known[host] = match(host) is not None
        return result

    return allows
