-- name: add_sightings
insert into sightings (event_id, request_id, occurred_at, host, exception, fact, kafka_partition, deadline)
select n.event_id, n.request_id, to_timestamp(n.occurred_us::float8 / 1e6), n.host, n.exception, n.fact::bytea,
       n.kafka_partition, now() + make_interval(secs => %(patience)s)
from json_to_recordset(%(rows)s::json)
     as n (event_id uuid, request_id text, occurred_us bigint, host text, exception text, fact text,
           kafka_partition int)
on conflict (event_id) do nothing

-- Sightings of the request ids that a batch touches, until their deadline is over.
-- name: load_sightings_of_requests
select event_id::text, request_id, fact, state, instance_uuid::text
from sightings
where not closed and deadline > now() and request_id = any(%(request_ids)s::text[])

-- name: load_instances_of_requests
select distinct request_id, instance_uuid::text, kafka_partition
from requests
where request_id = any(%(request_ids)s::text[])

-- Recent sightings that can be joined now, with every instance that has their request id: both may have been committed
-- at the same time, neither transaction seeing the other.
-- name: load_joinable_sightings
select s.event_id::text, s.request_id, s.fact, r.instance_uuid::text, r.kafka_partition
from sightings s
join lateral (
    select distinct instance_uuid, kafka_partition from requests where request_id = s.request_id
) r on true
where not s.closed and s.state = 'UNJOINED' and s.deadline > now()
  and s.updated_at > now() - make_interval(secs => %(window)s)

-- name: join_sightings
update sightings s
set state = 'JOINED', instance_uuid = n.instance_uuid, joined_partition = n.kafka_partition, updated_at = now()
from unnest(%(ids)s::uuid[], %(instances)s::uuid[], %(partitions)s::int[])
     as n (event_id, instance_uuid, kafka_partition)
where s.event_id = n.event_id and s.state = 'UNJOINED' and not s.closed

-- A second instance has the request id of a joined sighting; the owner of the first instance releases the sighting.
-- name: mark_ambiguous_sightings
update sightings
set state = 'AMBIGUOUS', updated_at = now()
where event_id = any(%(ids)s::uuid[]) and state = 'JOINED' and not closed

-- Sightings joined to the only instance that fitted, where another one fits now: they belong to none of them.
-- name: load_ambiguous_sightings
select s.event_id::text, s.request_id, s.instance_uuid::text, s.joined_partition
from sightings s
where not s.closed and s.joined_partition = any(%(partitions)s::int[])
  and (s.state = 'AMBIGUOUS'
       or s.state = 'JOINED' and s.updated_at > now() - make_interval(secs => %(window)s)
          and exists (
              select from requests r where r.request_id = s.request_id and r.instance_uuid <> s.instance_uuid
          ))
  and s.updated_at > now() - make_interval(secs => %(window)s)

-- name: release_sightings
update sightings
set state = 'UNJOINED', instance_uuid = null, joined_partition = null, updated_at = now()
where event_id = any(%(ids)s::uuid[]) and state in ('JOINED', 'AMBIGUOUS')

-- name: close_sightings
update sightings
set closed = true, state = case state when 'UNJOINED' then 'EXPIRED' else state end, updated_at = now()
where not closed and state <> 'AMBIGUOUS' and deadline <= now() and kafka_partition = any(%(partitions)s::int[])

-- name: count_sightings
select state, count(*) from sightings group by state
