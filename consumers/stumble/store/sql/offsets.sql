-- Only the transaction that holds a partition's lock may write for it. The lock is acquired before anything is
-- written, so that transaction ids rise in the order in which a partition's transactions take effect.
-- name: lock_partitions
select pg_advisory_xact_lock(hashtext(%(topic)s), p) from unnest(%(partitions)s::int[]) as t (p)

-- A process that was stopped in the middle of its transaction holds its partitions' locks although others own them
-- by now: PostgreSQL waits for its next statement. This ends its session and rolls its transaction back.
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

-- is_noted: the current incarnation noted the partition's end; without that nobody may write for it.
-- name: load_offsets
select kafka_partition, topic_id, next_offset,
       incarnation is not distinct from (select max(number) from store_incarnations) as is_noted
from offsets
where topic = %(topic)s and kafka_partition = any(%(partitions)s)

-- name: create_offsets
insert into offsets (topic, kafka_partition, topic_id, next_offset, highest_offset)
select %(topic)s, n.kafka_partition, %(topic_id)s, n.next_offset, n.next_offset
from unnest(%(partitions)s::int[], %(offsets)s::bigint[]) as n (kafka_partition, next_offset)
on conflict (topic, kafka_partition) do nothing

-- name: load_start_offsets
select kafka_partition, topic_id, next_offset, leader_epoch, stopped_state, stopped_at, stop_reason
from offsets
where topic = %(topic)s and kafka_partition = any(%(partitions)s)

-- A projector that has to stop at an offset; the first reason stays.
-- name: stop_partition
update offsets
set stopped_state = %(state)s, stopped_at = now(), stop_reason = %(reason)s, updated_at = now()
where topic = %(topic)s and kafka_partition = %(partition)s and next_offset = %(offset)s and stopped_state is null

-- Compare and swap: a partition whose stored offset is not the expected one, that is stopped, or whose end was not noted
-- since the last restore, is missing from the result.
-- name: advance_offsets
update offsets o
set next_offset = n.next_offset,
    leader_epoch = n.leader_epoch,
    highest_offset = greatest(o.highest_offset, n.next_offset),
    catch_up_offset = case when o.catch_up_offset > n.next_offset then o.catch_up_offset end,
    last_record_at = coalesce(greatest(o.last_record_at, n.last_record_at), o.last_record_at),
    updated_at = now()
from unnest(%(partitions)s::int[], %(expected)s::bigint[], %(offsets)s::bigint[], %(last_record_at)s::timestamptz[],
            %(leader_epochs)s::int[])
     as n (kafka_partition, expected, next_offset, last_record_at, leader_epoch)
where o.topic = %(topic)s
  and o.kafka_partition = n.kafka_partition
  and o.topic_id = %(topic_id)s
  and o.next_offset = n.expected
  and o.stopped_state is null
  and o.incarnation = (select max(number) from store_incarnations)
returning o.kafka_partition

-- name: load_offset_states
select kafka_partition, topic_id, next_offset, last_record_at, leader_epoch, stopped_state, stopped_at, stop_reason
from offsets
where topic = %(topic)s

-- The caller holds the partition's lock. The next compare of a projector fails, and it reads from this offset, also if
-- the partition was stopped.
-- name: set_offset
insert into offsets as o (topic, kafka_partition, topic_id, next_offset, highest_offset)
values (%(topic)s, %(partition)s, %(topic_id)s, %(offset)s, %(offset)s)
on conflict (topic, kafka_partition)
do update set topic_id = excluded.topic_id, next_offset = excluded.next_offset, updated_at = now(),
              leader_epoch = null, stopped_state = null, stopped_at = null, stop_reason = null,
              highest_offset = case when o.topic_id = excluded.topic_id
                                    then greatest(o.highest_offset, excluded.next_offset)
                                    else excluded.next_offset end,
              catch_up_offset = case when o.topic_id = excluded.topic_id and o.catch_up_offset > excluded.next_offset
                                     then o.catch_up_offset end

-- Records up to where a topic was read before it was truncated or created again.
-- name: add_topic_break
insert into topic_breaks (topic, kafka_partition, topic_id, next_offset, last_record_at)
select topic, kafka_partition, topic_id, next_offset, last_record_at
from offsets where topic = %(topic)s and kafka_partition = %(partition)s
on conflict (topic, kafka_partition)
do update set topic_id = excluded.topic_id, next_offset = excluded.next_offset, last_record_at = excluded.last_record_at,
              broken_at = now()

-- The last break of each partition, UTC microseconds.
-- name: load_topic_breaks
select kafka_partition, (extract(epoch from broken_at) * 1000000)::bigint from topic_breaks where topic = %(topic)s

-- Partitions whose topic was truncated below the store's offset, until an operator moves it.
-- name: load_truncated_partitions
select kafka_partition from offsets where topic = %(topic)s and stopped_state = 'OFFSET_BEYOND_END'

-- name: load_all_offsets
select kafka_partition, topic_id, next_offset from offsets where topic = %(topic)s order by kafka_partition

-- The highest offset that was ever stored of each partition that the current incarnation has noted.
-- name: load_highest_offsets
select kafka_partition, highest_offset
from offsets
where topic = %(topic)s and topic_id = %(topic_id)s and kafka_partition = any(%(partitions)s)
  and incarnation = (select max(number) from store_incarnations)

-- Notes where partitions end after the begin of an incarnation, and what the consumer group has committed of them. Of
-- partitions of a topic that no longer exists nothing can be read again.
-- name: note_catch_up_offsets
update offsets o
set incarnation = (select max(number) from store_incarnations),
    highest_offset = greatest(o.highest_offset, n.committed),
    catch_up_offset = case when n.end_offset > o.next_offset then n.end_offset end
from offsets p
left join unnest(%(partitions)s::int[], %(ends)s::bigint[], %(committed)s::bigint[])
          as n (kafka_partition, end_offset, committed)
    on n.kafka_partition = p.kafka_partition and p.topic_id = %(topic_id)s
where p.topic = %(topic)s and (n.kafka_partition is not null or p.topic_id <> %(topic_id)s)
  and o.topic = p.topic and o.kafka_partition = p.kafka_partition
