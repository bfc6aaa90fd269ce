"""docs/nova-table.md: what Nova's own API tells an ordinary user beside what stumble tells, from the recordings."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from novaharness.scenarios import SCENARIOS
from novaharness.table.beyond import BEYOND

from tests.nova import judge
from tests.nova.matrix import results
from tests.nova.matrix.grade import EFFECT, FALSE, LESS, RIGHT
from tests.nova.matrix.recording import FOLDER, RELEASES, Played
from tests.nova.matrix.ways import DEFAULT, WAYS, items_by

FILE = FOLDER.parents[2] / "docs" / "nova-table.md"
SHOWN = "33.0.2"
"""The release whose rows are shown; others have a word where Nova tells something else there."""

_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_LONGEST = 160

_HEAD = """\
# What Nova tells, what stumble tells

Written by `make nova-matrix` from recordings of real Nova; no line of it is typed. Every scenario of
[the table](nova-scenarios.md) is a real API request, run once on each release with everything recorded; the ways into
stumble follow from the recording by leaving signals out.

"""
_GRADES = """
- **right**: every request of the call with its action, its outcome, the verdict, every failure with its host and class,
  and what it did to the server;
- **but the effect**: all of that, but what the failure did to the server is said to be UNKNOWN;
- **less**: a request or failure that the way can't see is absent, or its outcome stays open (and becomes STALLED);
- **false**: anything that is not so.
"""


def document() -> str:
    """Return the whole document."""
    return _HEAD + _totals() + _GRADES + _nova() + _rows()


def summary() -> list[str]:
    """Return the totals in a few lines for a terminal."""
    lines = []
    for release in RELEASES:
        told, failed, reasons = results.nova_totals(release)
        count = len(results.recording_of(release).played)
        lines.append(f"{release}: Nova's action record tells failed from not failed in {told} of {count}; ")
        lines[-1] += f"a reason for the user of {reasons} of {failed} that failed"
        for way in WAYS:
            found = results.totals(release, way)
            lines.append(
                f"{release}: {way.key}: right {found[RIGHT]}, but the effect {found[EFFECT]}, less {found[LESS]}, "
                f"false {found[FALSE]}"
            )
    return lines


def _totals() -> str:
    lines = [
        "| way | " + " | ".join(f"Nova {release}" for release in RELEASES) + " |",
        "|---|" + "---|" * len(RELEASES),
    ]
    for way in WAYS:
        cells = []
        for release in RELEASES:
            found = results.totals(release, way)
            parts = [f"{found[RIGHT]} right"]
            parts += [f"{found[kind]} {word}" for kind, word in _WORDS if found[kind]]
            cells.append(", ".join(parts))
        lines.append(f"| {way.title} | " + " | ".join(cells) + " |")
    cells = []
    for release in RELEASES:
        told, failed, reasons = results.nova_totals(release)
        cells.append(f"{told} told failed from not failed; a reason to {reasons} of {failed} that failed")
    lines.append("| Nova's own API, to the server's owner | " + " | ".join(cells) + " |")
    return f"{len(SCENARIOS)} scenarios.\n\n" + "\n".join(lines) + "\n"


_WORDS = ((EFFECT, "but the effect"), (LESS, "less"), (FALSE, "false"))


def _nova() -> str:
    taps = "; ".join(f"{release}: {results.recording_of(release).tap}" for release in RELEASES)
    return (
        f"\nThe tap in these releases: {taps}.\n\n"
        "Nova's own API, as the server's owner may ask it (`GET /servers/{id}` and `os-instance-actions`, newest\n"
        "microversion), is counted as telling when its action record has an error exactly where the request failed.\n"
        "**Bold** marks where it doesn't. It never tells the host, nor more than one failure.\n\n"
        f"## Every scenario, Nova {SHOWN}\n\n"
    )


def _rows() -> str:
    lines = ["| scenario | Nova tells | stumble tells | knows less |", "|---|---|---|---|"]
    others = [results.by_name(release) for release in RELEASES if release != SHOWN]
    for name, played in results.by_name(SHOWN).items():
        told = _nova_cell(played)
        for release, other in zip([one for one in RELEASES if one != SHOWN], others, strict=True):
            if name in other and (elsewhere := _nova_cell(other[name])) != told:
                told += f"<br>Nova {release}: {elsewhere}"
        less = ", ".join(way.key for way in WAYS if way.key in BEYOND.get(name, ()))
        lines.append(f"| {name} | {told} | {_stumble_cell(items_by(DEFAULT, played))} | {less} |")
    return "\n".join(lines) + "\n"


def _nova_cell(played: Played) -> str:
    server, request = played.nova_server, played.nova
    parts = ["server gone" if server is None else f"server {server['status']}"]
    if server and server["fault"]:
        parts.append(f"fault “{_plain(server['fault'])}”")
    if request is None:
        parts.append(f"no action (HTTP {played.status})")
    else:
        events = ", ".join(f"{event['event']} {event['result'] or 'unfinished'}" for event in request["events"])
        parts.append(
            f"`{request['action']}`: message {request['message'] or 'none'}" + (f", {events}" if events else "")
        )
    text = "; ".join(parts)
    return text if judge.nova_tells(request, results.EXPECTED[played.scenario]) else f"**{text}**"


def _stumble_cell(items: Sequence[dict[str, Any]]) -> str:
    lines = []
    for item in items:
        line = f"`{item['action']}` {item['outcome']}"
        if item["failures"]:
            line += f", effect {item['effect']}"
        if item["verdict"]:
            line += f", verdict {item['verdict']}"
        for failure in item["failures"]:
            reason = "" if failure["reason"] == failure["exception"] else f" “{_plain(failure['reason'])}”"
            line += f"; {failure['host']}: {failure['exception']}{reason} ({failure['blame']})"
        lines.append(line)
    return "<br>".join(lines) or "no request"


def _plain(text: str) -> str:
    """Return text for a cell: ids differ from run to run."""
    text = _UUID.sub("…", " ".join(text.split())).replace("|", "\\|").replace("<", "&lt;")
    return text if len(text) <= _LONGEST else text[:_LONGEST] + "…"
