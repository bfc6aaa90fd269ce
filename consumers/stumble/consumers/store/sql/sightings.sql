-- name: add_sightings
insert into sightings (event_id, request_id, occurred_at, host, exception, fact, kafka_partition, deadline)
select n.event_id, n.request_id, to_timestamp(n.occurred_us::float8 / 1e6), n.host, n.exception, n.fact::bytea,
       n.kafka_partition, now() + make_interval(secs => %(patience)s)
from json_to_recordset(%(rows)s::json)
     as n (event_id uuid, request_id text, occurred_us bigint, host text, exception text, fact text,
           kafka_partition int)
on conflict (event_id) do nothing

-- Sightings of the request ids that a batch touches, while they still look for their instance.
-- name: waiting_sightings
select event_id::text, request_id, fact
from sightings
where state = 'UNJOINED' and request_id = any(%(request_ids)s::text[])

-- name: instances_of_requests
select distinct request_id, instance_uuid::text, kafka_partition
from requests
where request_id = any(%(request_ids)s::text[])

-- Sightings that some instance could take now, with every instance that knows their request id.
-- name: joinable_sightings
select s.event_id::text, s.request_id, s.fact, r.instance_uuid::text, r.kafka_partition
from sightings s
join lateral (
    select distinct instance_uuid, kafka_partition from requests where request_id = s.request_id
) r on true
where s.state = 'UNJOINED' and s.deadline > now()

-- name: join_sightings
update sightings s
set state = 'JOINED', instance_uuid = n.instance_uuid, joined_partition = n.kafka_partition, updated_at = now()
from unnest(%(ids)s::uuid[], %(instances)s::uuid[], %(partitions)s::int[])
     as n (event_id, instance_uuid, kafka_partition)
where s.event_id = n.event_id and s.state = 'UNJOINED'

-- Joined to the only instance there was, and now there is another: none of them can have it.
-- name: contested_sightings
select s.event_id::text, s.request_id, s.instance_uuid::text, s.joined_partition
from sightings s
where s.state = 'JOINED' and s.deadline > now() and s.joined_partition = any(%(partitions)s::int[])
  and exists (
      select from requests r where r.request_id = s.request_id and r.instance_uuid <> s.instance_uuid
  )

-- name: release_sightings
update sightings
set state = 'UNJOINED', instance_uuid = null, joined_partition = null, updated_at = now()
where event_id = any(%(ids)s::uuid[]) and state = 'JOINED'

-- name: expire_sightings
update sightings
set state = 'EXPIRED', updated_at = now()
where state = 'UNJOINED' and deadline <= now() and kafka_partition = any(%(partitions)s::int[])

-- name: count_sightings
select state, count(*) from sightings group by state
