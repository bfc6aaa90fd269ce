"""aiokafka and asyncpg: a loop that only stores rows, written for speed.

With ``once`` as a sixth argument it stores each event once: a staging table, and a key that rejects duplicates.
"""

import asyncio
import gc
import sys
import uuid

import asyncpg
import uvloop
from aiokafka import AIOKafkaConsumer
from common import COLUMNS, Clock, Decoder, arguments, row

TABLE = "create table copied (event_id text, occurred_at bigint, {})".format(
    ", ".join(f"{name} {'bytea' if name == 'body' else 'text'}" for name in COLUMNS[2:])
)
ONCE = """
create temp table staged (like copied);
alter table copied add primary key (event_id);
"""


async def store(connection, rows, *, once):
    """Store all rows, or with `once` all new ones."""
    if not once:
        await connection.copy_records_to_table("copied", records=rows, columns=COLUMNS)
        return
    async with connection.transaction():
        await connection.copy_records_to_table("staged", records=rows, columns=COLUMNS)
        await connection.execute("insert into copied select * from staged on conflict do nothing")
        await connection.execute("truncate staged")


async def main():
    bootstrap, topic, database, count, schema = arguments()
    decode, clock, done = Decoder(schema), Clock(), 0
    connection = await asyncpg.connect(database)
    await connection.execute(TABLE)
    once = "once" in sys.argv[6:]
    if once:
        await connection.execute(ONCE)
    consumer = AIOKafkaConsumer(
        topic,
        bootstrap_servers=bootstrap,
        group_id=f"bench-{uuid.uuid4()}",
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        fetch_max_bytes=64 << 20,
        max_partition_fetch_bytes=2 << 20,
        check_crcs=False,
    )
    await consumer.start()
    gc.disable()
    try:
        while done < count:
            batches = await consumer.getmany(timeout_ms=200, max_records=10_000)
            records = [record for batch in batches.values() for record in batch]
            if not records:
                continue
            clock.start()
            rows = [row(decode(record.value), record.value) for record in records]
            await store(connection, rows, once=once)
            await consumer.commit()
            done += len(rows)
        clock.report(done)
    finally:
        await consumer.stop()
        await connection.close()


uvloop.run(main()) if hasattr(uvloop, "run") else asyncio.run(main())
