"""A transactional producer: ``python -m tests.chaos.transacting FOLDER BOOTSTRAP BEGAN``.

It sends the stream of FOLDER/plan.json in transactions. Before each it aborts one with events of another stream, which
must never be stored. A transaction that was not certainly committed is sent again, also after a kill: the journal has
the number of the last one that was. BEGAN is the monotonic time in seconds at which the stream began.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

from confluent_kafka import KafkaException, Producer

from stumble.wire.codec import encode_record, frame_single_object
from stumble.wire.headers import record_headers
from stumble.wire.schemas import EVENT
from stumble.wire.topics import Topics, partition_key
from tests.chaos.emitting import PLAN
from tests.chaos.fleet import Plan, PlannedEvent, planned_events

JOURNAL = "committed"
_EVENTS_PER_TRANSACTION = 40
#: Seconds between the records of a transaction and its end, in which no reader gets what follows it.
_OPEN_SECONDS = 0.5
_WAIT_SECONDS = 20.0


def committed(folder: Path) -> int:
    """Return how many transactions of the stream are committed."""
    path = folder / JOURNAL
    return int(path.read_text()) if path.exists() else 0


def transactions(plan: Plan) -> list[tuple[PlannedEvent, ...]]:
    """Return the stream of a plan as transactions."""
    events = tuple(planned_events(plan))
    return [events[at : at + _EVENTS_PER_TRANSACTION] for at in range(0, len(events), _EVENTS_PER_TRANSACTION)]


def aborted_plan(plan: Plan) -> Plan:
    """Return the plan of the stream that is aborted."""
    return Plan(plan.seed + 1, plan.start_us, plan.seconds, plan.requests_per_second)


def main(folder: Path, bootstrap: str, began: float) -> None:
    plan = Plan.load(folder / PLAN)
    streams = transactions(plan), transactions(aborted_plan(plan))
    while (number := committed(folder)) < len(streams[0]):
        try:
            _send_transactions(folder, bootstrap, began, number, streams)
        except KafkaException as error:
            print(f"a new producer begins: {error}", file=sys.stderr, flush=True)
            time.sleep(1)


def _send_transactions(
    folder: Path, bootstrap: str, began: float, first: int, streams: tuple[list[tuple[PlannedEvent, ...]], ...]
) -> None:
    """Send from a transaction on; raises `KafkaException` if one did not end, so that a new producer must begin."""
    producer = Producer(
        {
            "bootstrap.servers": bootstrap,
            "transactional.id": "chaos",
            "transaction.timeout.ms": 15_000,
            "partitioner": "murmur2_random",
            "log_level": 0,
            "reconnect.backoff.max.ms": 1000,
        }
    )
    producer.init_transactions(_WAIT_SECONDS)
    good, bad = streams
    for number in range(first, len(good)):
        time.sleep(max(began + good[number][-1].at - time.monotonic(), 0))
        if number < len(bad):
            _send(producer, bad[number])
            producer.abort_transaction(_WAIT_SECONDS)
        _send(producer, good[number])
        time.sleep(_OPEN_SECONDS)
        producer.commit_transaction(_WAIT_SECONDS)
        (folder / "committed.new").write_text(str(number + 1))
        (folder / "committed.new").replace(folder / JOURNAL)


def _send(producer: Producer, events: tuple[PlannedEvent, ...]) -> None:
    producer.begin_transaction()
    for planned in events:
        event: dict[str, Any] = planned.event
        producer.produce(
            Topics("").actions,
            value=frame_single_object(EVENT, encode_record(EVENT, event)),
            key=partition_key(event),
            headers=record_headers(EVENT, "chaos", event["event_id"], event["occurred_at"]),  # type: ignore[arg-type]
        )
    producer.flush(_WAIT_SECONDS)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], float(sys.argv[3]))
