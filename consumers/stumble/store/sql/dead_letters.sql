-- name: redriven_letters
select kafka_offset, times, last_at
from redriven
where topic_id = %(topic_id)s and kafka_partition = %(partition)s and kafka_offset = any(%(offsets)s::bigint[])

-- name: mark_redriven
insert into redriven (topic_id, kafka_partition, kafka_offset)
select %(topic_id)s, n.kafka_partition, n.kafka_offset
from unnest(%(partitions)s::int[], %(offsets)s::bigint[]) as n (kafka_partition, kafka_offset)
on conflict (topic_id, kafka_partition, kafka_offset) do update set times = redriven.times + 1, last_at = now()

-- name: forget_redriven
delete from redriven r
using unnest(%(partitions)s::int[], %(offsets)s::bigint[]) as n (kafka_partition, low)
where r.topic_id = %(topic_id)s and r.kafka_partition = n.kafka_partition and r.kafka_offset < n.low

-- name: try_lock_redrive
select pg_try_advisory_lock(hashtextextended('stumble.redrive:' || %(topic_id)s, 0))

-- name: unlock_redrive
select pg_advisory_unlock(hashtextextended('stumble.redrive:' || %(topic_id)s, 0))

-- name: which_are_known
select event_id from events where event_id = any(%(ids)s)
union all
select event_id from late_events where event_id = any(%(ids)s)

-- name: let_through
select until_offset from let_through
where topic = %(topic)s and kafka_partition = %(partition)s and topic_id = %(topic_id)s

-- name: set_let_through
insert into let_through (topic, kafka_partition, topic_id, until_offset)
values (%(topic)s, %(partition)s, %(topic_id)s, %(until)s)
on conflict (topic, kafka_partition)
do update set topic_id = excluded.topic_id, until_offset = excluded.until_offset, given_at = now()
