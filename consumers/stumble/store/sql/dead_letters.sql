-- name: load_redrive_counts
select kafka_offset, redrives, last_at
from redrive_counts
where topic_id = %(topic_id)s and kafka_partition = %(partition)s and kafka_offset = any(%(offsets)s::bigint[])

-- name: add_redrives
insert into redrive_counts (topic_id, kafka_partition, kafka_offset)
select %(topic_id)s, n.kafka_partition, n.kafka_offset
from unnest(%(partitions)s::int[], %(offsets)s::bigint[]) as n (kafka_partition, kafka_offset)
on conflict (topic_id, kafka_partition, kafka_offset) do update
set redrives = redrive_counts.redrives + 1, last_at = now()

-- name: delete_redrive_counts
delete from redrive_counts r
using unnest(%(partitions)s::int[], %(offsets)s::bigint[]) as n (kafka_partition, low)
where r.topic_id = %(topic_id)s and r.kafka_partition = n.kafka_partition and r.kafka_offset < n.low

-- name: try_lock_redrive
select pg_try_advisory_lock(hashtextextended('stumble.redrive:' || %(topic_id)s, 0))

-- name: unlock_redrive
select pg_advisory_unlock(hashtextextended('stumble.redrive:' || %(topic_id)s, 0))

-- name: load_known_event_ids
select event_id from events where event_id = any(%(ids)s)
union all
select event_id from late_events where event_id = any(%(ids)s)

-- name: load_bad_record_limit
select until_offset from bad_record_limits
where topic = %(topic)s and kafka_partition = %(partition)s and topic_id = %(topic_id)s

-- name: set_bad_record_limit
insert into bad_record_limits (topic, kafka_partition, topic_id, until_offset)
values (%(topic)s, %(partition)s, %(topic_id)s, %(until)s)
on conflict (topic, kafka_partition)
do update set topic_id = excluded.topic_id, until_offset = excluded.until_offset, set_at = now()
