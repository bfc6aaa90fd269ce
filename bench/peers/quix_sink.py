"""quixstreams with its own PostgreSQL sink, which stores an event as it is: one column per field, records as JSON.

The sink derives its columns from the first row of a batch and leaves out those that are null there; empty text replaces
null so that no field is lost.
"""

import tempfile
import uuid
from urllib.parse import urlsplit

from common import Clock, Decoder, arguments
from quixstreams import Application
from quixstreams.models.serializers import Deserializer
from quixstreams.sinks.community.postgresql import PostgreSQLSink

CLOCK = Clock()


class Rows(Deserializer):  # type: ignore[misc]
    """Turns a framed record into a row."""

    def __init__(self, schema):
        super().__init__()
        self._decode = Decoder(schema)

    def __call__(self, value, ctx):  # noqa: ARG002 -- the caller's signature
        CLOCK.start()
        return {name: "" if field is None else field for name, field in self._decode(value).items()}


def main(state):
    bootstrap, topic, database, count, schema = arguments()
    url = urlsplit(database)
    app = Application(
        broker_address=bootstrap,
        consumer_group=f"bench-{uuid.uuid4()}",
        auto_offset_reset="earliest",
        auto_create_topics=False,
        commit_every=10_000,
        commit_interval=2.0,
        loglevel="WARNING",
        state_dir=state,
        consumer_extra_config={"fetch.message.max.bytes": 2 << 20, "check.crcs": False},
    )
    sink = PostgreSQLSink(
        host=url.hostname,
        port=url.port,
        dbname=url.path.lstrip("/"),
        user=url.username,
        password=url.password,
        table_name="copied",
        include_metadata=False,
    )
    events = app.topic(topic, value_deserializer=Rows(schema), key_deserializer="bytes")
    app.dataframe(events).sink(sink)
    app.run(count=count, timeout=120)
    CLOCK.report(count)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        main(folder)
