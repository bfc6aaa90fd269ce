-- name: load_known_events
select uuid_send(event_id) from events where event_id = any(%(ids)b)

-- name: load_known_late_events
select uuid_send(event_id) from late_events where event_id = any(%(ids)b)

-- name: copy_events
copy events (event_id, occurred_at, kafka_partition, kafka_offset, body, message) from stdin (format binary)

-- name: copy_late_events
copy late_events (event_id, occurred_at, kafka_partition, kafka_offset, body, message) from stdin (format binary)

-- Existing partitions of events, by the first id that they hold.
-- name: load_event_partitions
select c.relname
from pg_inherits i
join pg_class c on c.oid = i.inhrelid
where i.inhparent = 'stumble_derived.events'::regclass and c.relname ~ '^events_[0-9]{8}$'
order by c.relname

-- name: lock_maintenance
select pg_advisory_xact_lock(hashtext('stumble.maintenance'))

-- name: create_events_partition
select stumble_derived.create_events_partition(%(day)s)

-- name: drop_events_partition
select stumble_derived.drop_events_partition(%(day)s)
