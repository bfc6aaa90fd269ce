"""Where to read each partition from: the store's offsets, checked against the topic as it is now."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from stumble.store.queries import query

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from psycopg import Connection

UNKNOWN_TOPIC_ID = ""


@dataclass(slots=True, frozen=True)
class Place:
    """Where a partition is read from; or why it can't be."""

    offset: int | None
    blocked: str | None = None


def place(
    connection: Connection[Any],
    topic: str,
    topic_id: str,
    partitions: Iterable[int],
    low_watermark: Callable[[int], int],
) -> dict[int, Place]:
    """Return where the store is in each partition; a partition it never read starts where the broker starts."""
    wanted = list(partitions)
    rows = _read(connection, topic, wanted)
    fresh = [partition for partition in wanted if partition not in rows]
    if fresh:
        lows = [low_watermark(partition) for partition in fresh]
        connection.execute(
            query("create_offsets"),
            {"topic": topic, "topic_id": topic_id, "partitions": fresh, "offsets": lows},
        )
        rows = _read(connection, topic, wanted)
    return {
        partition: Place(rows[partition][1]) if rows[partition][0] == topic_id else Place(None, _recreated(topic))
        for partition in wanted
    }


def impossible(topic: str, partition: int, offset: int, ends: Mapping[int, int] | None) -> str:
    """Say what is wrong with an offset that the broker refuses; `ends`: where it says that partitions end."""
    return (beyond if ends and offset > ends[partition] else expired)(topic, partition, offset)


def expired(topic: str, partition: int, offset: int) -> str:
    """Say that the broker no longer has what the store would read next."""
    return (
        f"Partition {partition} of {topic} is stopped: the broker no longer has offset {offset}, which comes next. "
        "Events were lost to its retention: `stumble offsets show` says which, and to go on from what is left run "
        f"`stumble offsets resume --partition {partition}`."
    )


def beyond(topic: str, partition: int, offset: int) -> str:
    """Say that the topic ends before what the store would read next."""
    return (
        f"Partition {partition} of {topic} is stopped: it ends before offset {offset}, which comes next. It was cut "
        "back or restored, and what is written there since would be passed over: `stumble offsets show` says where it "
        f"is, and to read it from its start run `stumble offsets resume --partition {partition}`; known events stay "
        "single."
    )


def _recreated(topic: str) -> str:
    return (
        f"The topic {topic} was deleted and made anew: the store's offsets mean nothing there. To read it from its "
        "start run `stumble offsets resume`; events that are known stay single."
    )


def _read(connection: Connection[Any], topic: str, partitions: list[int]) -> Mapping[int, tuple[str, int]]:
    rows = connection.execute(query("load_offsets"), {"topic": topic, "partitions": partitions})
    return {partition: (topic_id, offset) for partition, topic_id, offset in rows}
