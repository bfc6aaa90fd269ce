"""Check whether the relay's configuration accepts what this host's services write: users, hosts, rejected events."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from stumble.checks.model import CheckContext, CheckResult, fine, skipped, warning, wrong
from stumble.outbox.counters import read_about
from stumble.outbox.folders import RELAY, other_users, outbox_folders
from stumble.relay.authority import Authority, load_authority
from stumble.relay.rejected import FILE, MOST_BYTES_OF_RELAY, read_rejected
from stumble.relay.settings import RelaySettings
from stumble.relay.status import user_name

__all__ = ["check_admission"]

_SHOWN = 20
_LONGEST_NAME = 100
#: What a host name consists of. Every process of a served user writes ``about.json``: the check must not recommend to
#: allow a pattern such as ``*`` because a process claims this name.
_HOST = re.compile(r"[A-Za-z0-9._:@-]+\Z")


def check_admission(scope: CheckContext) -> Iterator[CheckResult]:
    """Compare the settings in ``[relay]`` with the folders in the outbox; report rejected events.

    The check reads the same configuration as the relay, so it must run with the relay's ``STUMBLE_CONFIG``.
    """
    given = RelaySettings()
    authority = load_authority(scope.settings, given)
    directory = str(scope.settings.outbox_dir)
    yield from _users(directory, given, authority)
    yield from _hosts(directory, given, authority)
    yield from _rejected(Path(directory, RELAY))


def _users(directory: str, given: RelaySettings, authority: Authority) -> Iterator[CheckResult]:
    served = set(authority.users)
    if not given.users:
        with suppress(OSError):  # the relay serves its own user by default, who need not be the user of this check
            served.add(Path(directory, RELAY).stat().st_uid)
    for uid in other_users(directory, served)[:_SHOWN]:
        names = [*(given.users or map(user_name, sorted(served - authority.bridges))), user_name(uid)]
        yield wrong(
            f"{directory}/uid-{uid}",
            f"the relay does not serve the user {user_name(uid)}: its events wait for ever",
            f"if it is a user of Nova's services, write users = {json.dumps(names)} into [relay] and restart the "
            "relay; else remove the directory",
        )


def _hosts(directory: str, given: RelaySettings, authority: Authority) -> Iterator[CheckResult]:
    """Compare the hosts that processes name; the relay removes the folder of a process that ended."""
    services: dict[str, set[str]] = defaultdict(set)
    for folder in outbox_folders(directory, authority.users - authority.bridges):
        with folder.files() as files:
            about = read_about(files)
        if host := str(about.get("host") or ""):
            services[host].add(str(about.get("service") or folder.name)[:_LONGEST_NAME])
    foreign = sorted(host for host in services if not authority.allows_host(host))
    for host in foreign[:_SHOWN]:
        shown, names = host[:_LONGEST_NAME], ", ".join(sorted(services[host])[:5])
        hosts = json.dumps([*(given.hosts or (authority.host,)), host])
        todo = (
            f"if it is the option host in their nova.conf, write hosts = {hosts} into [relay], restart the relay, then "
            "run `stumble outbox resend`"
            if host == shown and _HOST.match(host)
            else "find out which process writes this: it is not the name of a host"
        )
        yield wrong(
            shown, f"the relay rejects the events of {names}: `hosts` in [relay] does not allow this host", todo
        )
    if len(foreign) > _SHOWN:
        yield wrong(directory, f"{len(foreign) - _SHOWN} more hosts that are not allowed", "correct these first")
    if services and not foreign:
        yield fine(directory, f"the relay's configuration allows the hosts of all processes ({len(services)})")


def _rejected(folder: Path) -> Iterator[CheckResult]:
    path = folder / FILE
    count, last = 0, {}
    try:
        for row in read_rejected(folder):
            count, last = count + 1, row
        is_full = bool(count) and path.stat().st_size > MOST_BYTES_OF_RELAY
    except PermissionError:
        yield skipped(str(path), "this user may not read it", "run it as root or as the relay's user")
        return
    if count:
        says = f"{count} events were rejected, the last at {last.get('rejected_at')}: {last.get('reason')}"
        todo = (
            "correct the cause, run `stumble outbox resend`, then move the file away (`stumble outbox ls` lists them)"
        )
        if is_full:
            yield wrong(str(path), f"{says}; the file is full, so folders wait", todo)
        else:
            yield warning(str(path), says, todo)
