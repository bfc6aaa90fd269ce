"""Shared by the peers: arguments, decoding, the row to store, the report.

Peers use only stumble's schema file. They run in their own environment, under the same Python.
"""

import json
import resource
import sys
import time
from io import BytesIO
from pathlib import Path

from fastavro import parse_schema, schemaless_reader

#: Single-object framing: C3 01 and the fingerprint.
FRAME = 10
COLUMNS = (
    "event_id",
    "occurred_at",
    "instance_uuid",
    "request_id",
    "action",
    "phase",
    "step",
    "host",
    "signal",
    "exception",
    "body",
)


def arguments():
    """Return (bootstrap servers, topic, database URL, number of records, schema) of the command line."""
    bootstrap, topic, database, count, avsc = sys.argv[1:6]
    return bootstrap, topic, database, int(count), without_logical_types(json.loads(Path(avsc).read_text()))


def without_logical_types(node):
    """Parse times as plain integers, as stumble does: building datetimes would slow the peer down."""
    if isinstance(node, dict):
        return {key: without_logical_types(value) for key, value in node.items() if key != "logicalType"}
    return [without_logical_types(value) for value in node] if isinstance(node, list) else node


class Decoder:
    """fastavro's compiled reader behind single-object framing."""

    def __init__(self, schema):
        self._schema = parse_schema(schema)

    def __call__(self, value):
        return schemaless_reader(BytesIO(value[FRAME:]), self._schema, None)


def row(event, value):
    """Return the columns by which rows are queried, and the whole event as received, so that nothing is lost."""
    failure = event["failure"]
    return (
        event["event_id"],
        event["occurred_at"],
        event["instance_uuid"],
        event["request_id"],
        event["action"],
        event["phase"],
        event["step"],
        event["host"],
        event["source"]["signal"],
        failure["exception"] if failure else None,
        value,
    )


class Clock:
    """Time from the first record read to the last commit."""

    def __init__(self):
        self.began: float | None = None
        self.cpu = 0.0

    def start(self):
        if self.began is None:
            self.began, self.cpu = time.monotonic(), time.process_time()

    def report(self, events):
        """Print what was measured, as one line of JSON."""
        assert self.began is not None, "no record was read"
        seconds = time.monotonic() - self.began
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(
            json.dumps(
                {
                    "events": events,
                    "seconds": seconds,
                    "cpu_seconds": time.process_time() - self.cpu,
                    "rss_mb": memory,
                }
            ),
            flush=True,
        )
