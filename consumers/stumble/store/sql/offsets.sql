-- One transaction at a time may write for a partition: its holder of this lock. Taken before anything is
-- written, so that transaction ids rise in the order in which a partition's transactions take effect.
-- name: lock_partitions
select pg_advisory_xact_lock(hashtext(%(topic)s), p) from unnest(%(partitions)s::int[]) as t (p)

-- A process that was stopped in the middle of its transaction holds its partitions' locks although others own them
-- by now: PostgreSQL waits for its next word. Its session is ended, and with it what it had not committed.
-- name: end_stopped_writers
select pg_terminate_backend(a.pid), a.application_name
from pg_locks l
join pg_stat_activity a on a.pid = l.pid
where l.locktype = 'advisory' and l.granted and l.objsubid = 2
  and l.database = (select oid from pg_database where datname = current_database())
  and l.classid::bigint = hashtext(%(topic)s)::bigint & 4294967295
  and a.pid <> pg_backend_pid()
  and a.wait_event = 'ClientRead'
  and a.state_change < clock_timestamp() - make_interval(secs => %(seconds)s)

-- name: read_offsets
select kafka_partition, topic_id, next_offset
from offsets
where topic = %(topic)s and kafka_partition = any(%(partitions)s)

-- name: first_offsets
insert into offsets (topic, kafka_partition, topic_id, next_offset)
select %(topic)s, n.kafka_partition, %(topic_id)s, n.next_offset
from unnest(%(partitions)s::int[], %(offsets)s::bigint[]) as n (kafka_partition, next_offset)
on conflict (topic, kafka_partition) do nothing

-- Compare and swap: a partition that is not where the reader believes it to be is missing from the answer.
-- name: move_offsets
update offsets o
set next_offset = n.next_offset,
    read_until = coalesce(greatest(o.read_until, n.read_until), o.read_until),
    updated_at = now()
from unnest(%(partitions)s::int[], %(expected)s::bigint[], %(offsets)s::bigint[], %(read_until)s::timestamptz[])
     as n (kafka_partition, expected, next_offset, read_until)
where o.topic = %(topic)s
  and o.kafka_partition = n.kafka_partition
  and o.topic_id = %(topic_id)s
  and o.next_offset = n.expected
returning o.kafka_partition

-- name: standing_offsets
select kafka_partition, topic_id, next_offset, read_until from offsets where topic = %(topic)s

-- Under the partition's lock: a writer's compare fails afterwards, and it reads from here.
-- name: set_offset
insert into offsets (topic, kafka_partition, topic_id, next_offset)
values (%(topic)s, %(partition)s, %(topic_id)s, %(offset)s)
on conflict (topic, kafka_partition)
do update set topic_id = excluded.topic_id, next_offset = excluded.next_offset, updated_at = now()

-- What a topic that was cut back or made anew held until then is known by a row of its own; no topic's name has a blank.
-- name: remember_break
insert into offsets (topic, kafka_partition, topic_id, next_offset, read_until)
select topic || ' before', kafka_partition, topic_id, next_offset, read_until
from offsets where topic = %(topic)s and kafka_partition = %(partition)s
on conflict (topic, kafka_partition)
do update set topic_id = excluded.topic_id, next_offset = excluded.next_offset, read_until = excluded.read_until,
              updated_at = now()

-- When it was said last that a partition begins anew, microseconds.
-- name: topic_breaks
select kafka_partition, (extract(epoch from updated_at) * 1000000)::bigint
from offsets where topic = %(topic)s || ' before'

-- name: all_offsets
select kafka_partition, topic_id, next_offset from offsets where topic = %(topic)s order by kafka_partition
