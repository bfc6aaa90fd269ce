"""Derive records directly from an outbox, without Kafka and without a store."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from stumble.outbox import OutboxCursor, OutboxReader
from stumble.outbox.folders import outbox_folders
from stumble.outcome.derive import derive_requests
from stumble.outcome.facts import fact_of
from stumble.wire import codec, schemas


def events_of(outbox: Path) -> Iterator[dict[str, Any]]:
    """Yield every event in every folder of the outbox, in the order each process wrote them."""
    for folder in outbox_folders(str(outbox)):
        reader, cursor = OutboxReader(folder.path), OutboxCursor()
        while True:
            chunk = reader.read(cursor, live=False)
            for record in chunk.records:
                yield codec.decode_record(schemas.EVENT, record.body)
            if chunk.end == cursor:
                break
            cursor = chunk.end


def items_of(events: Iterable[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Return the derived requests by request id, as dicts with the fields that the API shows."""
    facts = defaultdict(list)
    for event in events:
        if event["instance_uuid"]:
            facts[event["instance_uuid"]].append(fact_of(event))
    items = defaultdict(list)
    for instance, instance_facts in facts.items():
        for record in derive_requests(instance, instance_facts):
            items[record.request_id or ""].append(asdict(record))
    return items
