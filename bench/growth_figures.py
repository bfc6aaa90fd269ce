"""The projector while its store grows, and the disk space of the store: figures, a plot and tables in ``docs``."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import psycopg

from bench import jobs
from bench.projector_figures import settings_for, topics
from bench.report import Report, machine
from bench.stack import Stack
from bench.stream import events, load
from stumble.projector.settings import ProjectorSettings

_DOCS = Path(__file__).parents[1] / "docs"
_BILLION = 1e9
_EXTRAPOLATED = 100_000_000
_BEGIN = "<!-- Sizes, written by `python -m bench --only growth --events …`; do not edit. -->\n\n"
_END = "\n\n<!-- End of sizes. -->"
#: Smaller tables and indexes are left out.
_LEAST_BYTES = 1_000_000


def measure(report: Report, stack: Stack, python: Path, *, count: int, write: bool) -> None:
    """Project `count` events into one store and measure rate and memory meanwhile; `write` the documents."""
    prefix = "growth-"
    load(stack.kafka.bootstrap_servers, topics(stack, prefix), events(success=False, count=count))
    url = stack.database()
    try:
        given = settings_for(stack, url, prefix)
        jobs.command("store", "migrate", **given)
        samples = jobs.ours("growth", str(count), str(max(1, count // 40)), environment=given, timeout=3600)["samples"]
        with psycopg.connect(url, autocommit=True) as session:
            session.execute("vacuum (analyze)")
        sizes = json.loads(jobs.command("store", "stats", "--exact", "--json", **given))
    finally:
        stack.drop(url)
    tenth = max(1, len(samples) // 10)
    report.add("growth_first_events_per_second", [sample[1] for sample in samples[:tenth]])
    report.add("growth_last_events_per_second", [sample[1] for sample in samples[-tenth:]])
    report.add("growth_last_cpu_ratio", [samples[-1][2] / samples[0][2]])
    report.add("growth_rss_mb", [max(sample[3] for sample in samples)], "<= 250")
    if write:
        _plot(python, samples)
        (_DOCS / "growth.md").write_text(_document(samples, sizes), encoding="utf-8")
        operations = _DOCS / "operations.md"
        operations.write_text(_with_sizes(operations.read_text(encoding="utf-8"), sizes), encoding="utf-8")


def _plot(python: Path, samples: list[list[float]]) -> None:
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(samples, file)
        file.flush()
        jobs.peer(python, "growth_plot", file.name, str(_DOCS / "growth.svg"))


def _document(samples: list[list[float]], sizes: dict[str, Any]) -> str:
    rows = {table["name"]: table["rows"] for table in sizes["tables"]}
    about = machine()
    return f"""<!-- Written by `python -m bench --only growth --events …`; do not edit. -->
# Projector rate and memory as the store grows

One projector read the [benchmark stream](benchmarks.md#the-stream), {samples[-1][0]:,} records, into one store
on {about["cores"]} cores ({about["cpu"]}), which Kafka and PostgreSQL shared with it, in batches of up to
{ProjectorSettings().max_batch:,}. {rows["events"]:,} of the records are events, the others are duplicates.

![events per second and memory by number of stored events](growth.svg)

| events stored | events/s | CPU of the projector, µs per event | RSS, MB |
|---:|---:|---:|---:|
{_looks(samples)}

Disk space per table and index: [sizes](operations.md#sizes).
"""


def _looks(samples: list[list[float]]) -> str:
    """Return rows of the first sample and of each fifth of the samples."""
    step = max(1, len(samples) // 5)
    chosen = [samples[0], *samples[step - 1 :: step]]
    return "\n".join(f"| {done:,} | {rate:,.0f} | {cpu:.0f} | {rss:.0f} |" for done, rate, cpu, rss in chosen)


def _with_sizes(page: str, sizes: dict[str, Any]) -> str:
    """Return the page with a new table of sizes between its two comments."""
    before, _, rest = page.partition(_BEGIN)
    _, _, after = rest.partition(_END)
    return f"{before}{_BEGIN}{_sizes(sizes)}{_END}{after}"


def _sizes(sizes: dict[str, Any]) -> str:
    rows = {table["name"]: table["rows"] for table in sizes["tables"]}
    lines = [
        f"| table or index | at {rows['events']:,} events | bytes a row | at 100 million events |",
        "|---|---:|---:|---:|",
    ]
    for table in sorted(sizes["tables"], key=_bytes, reverse=True):
        if _bytes(table) < _LEAST_BYTES:
            continue
        name = table["name"]
        lines.append(_size(f"**{name}** ({rows[name]:,} rows)", table["heap"] + table["toast"], rows, name))
        own = [index for index in sizes["indexes"] if index["table"] == name and index["bytes"] >= _LEAST_BYTES]
        lines += [_size(index["name"], index["bytes"], rows, name) for index in own]
    whole = sum(map(_bytes, sizes["tables"]))
    return "\n".join([*lines, f"| **all** | {_human(whole)} | | {_human(whole * _EXTRAPOLATED / rows['events'])} |"])


def _size(name: str, taken: int, rows: dict[str, int], table: str) -> str:
    much = _human(taken * _EXTRAPOLATED / rows["events"])
    return f"| {name} | {_human(taken)} | {taken / max(1, rows[table]):,.0f} | {much} |"


def _bytes(table: dict[str, Any]) -> int:
    return int(table["heap"] + table["toast"] + table["indexes"])


def _human(taken: float) -> str:
    return f"{taken / 1e9:.1f} GB" if taken >= _BILLION else f"{taken / 1e6:.0f} MB"
