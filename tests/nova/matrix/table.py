"""docs/nova-table.md: what Nova's own API reports to an ordinary user and what stumble reports, from the recordings."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from novaharness.scenarios import SCENARIOS
from novaharness.table.beyond import BEYOND

from tests.nova import judge
from tests.nova.matrix import results
from tests.nova.matrix.grade import EFFECT, INCOMPLETE, RIGHT, WRONG
from tests.nova.matrix.recording import FOLDER, RELEASES, Played
from tests.nova.matrix.ways import DEFAULT, WAYS, items_by

FILE = FOLDER.parents[2] / "docs" / "nova-table.md"
SHOWN = "33.0.2"
"""The release whose rows are shown; other releases have an entry where Nova reports something else there."""

_KINDS = {scenario.name: scenario.kind for scenario in SCENARIOS}
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_LONGEST = 160

_HEAD = """\
# What Nova reports and what stumble reports

`make nova-matrix` generates this page from recordings of real Nova. Every scenario of [the table](nova-scenarios.md) is
a real API request, run once on each release; the recording holds all signals. The result of each way into stumble
(driver or bridge, with its options) is computed from the recording, without the signals that this way does not have.

"""
_GRADES = """
- **right**: every request of the call has its action, its outcome, its verdict, every failure with host and class, and
  the effect on the server;
- **right except the effect**: the same, but the effect of the failure on the server is UNKNOWN;
- **incomplete**: a request or failure that this way cannot see is absent, or its outcome stays open (and becomes
  STALLED);
- **wrong**: a value is not true.
"""


def document() -> str:
    """Return the whole document."""
    return _HEAD + _totals() + _GRADES + _nova() + _rows()


def summary() -> list[str]:
    """Return the totals in a few lines for a terminal."""
    lines = []
    for release in RELEASES:
        correct, failed, reasons = results.nova_totals(release)
        count = len(results.recording_of(release).played)
        lines.append(
            f"{release}: Nova's action record shows correctly whether the request failed in {correct} of {count}; "
        )
        lines[-1] += f"it gives the user a reason for {reasons} of {failed} failed requests"
        for way in WAYS:
            totals = results.totals(release, way)
            lines.append(
                f"{release}: {way.key}: right {totals[RIGHT]}, right except the effect {totals[EFFECT]}, "
                f"incomplete {totals[INCOMPLETE]}, wrong {totals[WRONG]}"
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
            totals = results.totals(release, way)
            parts = [f"{totals[RIGHT]} right"]
            parts += [f"{totals[kind]} {word}" for kind, word in _WORDS if totals[kind]]
            cells.append(", ".join(parts))
        lines.append(f"| {way.title} (`{way.key}`) | " + " | ".join(cells) + " |")
    cells = []
    for release in RELEASES:
        correct, failed, reasons = results.nova_totals(release)
        cells.append(f"{correct} right about failed or not failed; a reason for {reasons} of {failed} failed requests")
    lines.append("| Nova's own API, as the server's owner sees it | " + " | ".join(cells) + " |")
    return f"{len(SCENARIOS)} scenarios.\n\n" + "\n".join(lines) + "\n"


_WORDS = ((EFFECT, "right except the effect"), (INCOMPLETE, "incomplete"), (WRONG, "wrong"))


def _nova() -> str:
    taps = "; ".join(f"{release}: {results.recording_of(release).tap}" for release in RELEASES)
    return (
        f"\nState of the tap in these releases: {taps}.\n\n"
        "Nova's own API, as the server's owner can query it (`GET /servers/{id}` and `os-instance-actions`, newest\n"
        "microversion), counts as right when its action record has an error exactly where the request failed.\n"
        "**Bold** marks the records where this is not the case. Nova's API never names the host, and never more than\n"
        "one failure.\n\n"
        f"## All scenarios, Nova {SHOWN}\n\n"
    )


def _rows() -> str:
    lines = ["| scenario | kind | Nova reports | stumble reports | incomplete ways |", "|---|---|---|---|---|"]
    others = [results.by_name(release) for release in RELEASES if release != SHOWN]
    for name, played in results.by_name(SHOWN).items():
        nova = _nova_cell(played)
        for release, other in zip([one for one in RELEASES if one != SHOWN], others, strict=True):
            if name in other and (elsewhere := _nova_cell(other[name])) != nova:
                nova += f"<br>Nova {release}: {elsewhere}"
        incomplete = ", ".join(way.key for way in WAYS if way.key in BEYOND.get(name, ()))
        lines.append(
            f"| {name} | {_KINDS[name]} | {nova} | {_stumble_cell(items_by(DEFAULT, played))} | {incomplete} |"
        )
    return "\n".join(lines) + "\n"


def _nova_cell(played: Played) -> str:
    server, request = played.nova_server, played.nova
    parts = ["no server" if server is None else f"server {server['status']}"]
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
    return text if judge.nova_record_agrees(request, results.EXPECTED[played.scenario]) else f"**{text}**"


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
