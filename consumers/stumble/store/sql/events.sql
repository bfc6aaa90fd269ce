-- name: known_events
select uuid_send(event_id) from events where event_id = any(%(ids)b)

-- name: known_late_events
select uuid_send(event_id) from late_events where event_id = any(%(ids)b)

-- name: copy_events
copy events (event_id, occurred_at, kafka_partition, kafka_offset, body) from stdin (format binary)

-- name: copy_late_events
copy late_events (event_id, occurred_at, kafka_partition, kafka_offset, body) from stdin (format binary)

-- name: event_bodies
select event_id, body from events where event_id = any(%(ids)s)

-- Existing partitions of events, by the first id that they hold.
-- name: event_partitions
select c.relname
from pg_inherits i
join pg_class c on c.oid = i.inhrelid
where i.inhparent = 'stumble_derived.events'::regclass and c.relname ~ '^events_[0-9]{8}$'
order by c.relname

-- name: lock_maintenance
select pg_advisory_xact_lock(hashtext('stumble.maintenance'))

-- name: try_lock_maintenance
select pg_try_advisory_xact_lock(hashtext('stumble.maintenance'))
