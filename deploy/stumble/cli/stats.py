"""The figures of `stumble store stats` as lines of text."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stumble.store.stats import StoreStats

_INDEXES = 20


def stats_lines(result: StoreStats) -> Iterator[str]:
    """Yield tables, largest indexes, bytes per event, request and failure, ages, partitions and hints."""
    yield f"{'table':<18}{'rows':>13}{'total':>10}{'heap':>10}{'toast':>10}{'indexes':>10}{'dead':>10}{'HOT':>6}"
    for table in result.tables:
        if not table.rows and table.total < 1 << 20:
            continue
        hot = f"{table.hot_updates / table.updates:.0%}" if table.updates else "-"
        sizes = "".join(f"{_size(value):>10}" for value in (table.total, table.heap, table.toast, table.indexes))
        yield f"{table.name:<18}{table.rows:>13,}{sizes}{table.dead:>10,}{hot:>6}"
    yield ""
    yield f"{'index':<40}{'bytes':>10}{'scans':>12}"
    for index in result.indexes[:_INDEXES]:
        yield f"{index.name:<40}{_size(index.bytes):>10}{index.scans:>12,}"
    yield ""
    per = [(what, result.per(what)) for what in ("event", "request", "failure")]
    shares = ", ".join(
        f"{value:,.0f} bytes {'an' if what == 'event' else 'a'} {what}" for what, value in per if value is not None
    )
    yield f"{_size(result.database_bytes)} in total on PostgreSQL {result.server}" + (f": {shares}" if shares else "")
    for name, (oldest, newest) in result.ages.items():
        if oldest:
            yield f"{name}: from {str(oldest)[:19]} to {str(newest)[:19]} (UTC)"
    days = [name for name, _, _ in result.partitions if name != "events_default"]
    if days:
        yield f"{len(days)} partitions of events, {days[0]} to {days[-1]}"
    yield from (f"hint: {hint}" for hint in result.hints)


def _size(count: int) -> str:
    value = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1024:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} TB"
