-- name: repair_index
create index if not exists audit_staged_instance on audit_staged (instance_uuid)

-- Instances with something to put right.
-- name: repair_instances
select distinct instance_uuid::text from audit_differences
where instance_uuid is not null and instance_uuid > %(after)s::uuid
order by 1 limit %(limit)s

-- Records whose events have to be fetched again from the topic.
-- name: repair_partitions
select kafka_partition, min(kafka_offset), max(kafka_offset) + 1 from audit_differences
where what = 'event' and kind <> 'extra' group by kafka_partition order by kafka_partition

-- name: repair_offsets
select kafka_offset from audit_differences
where what = 'event' and kind <> 'extra' and kafka_partition = %(partition)s and kafka_offset >= %(low)s
order by kafka_offset limit %(limit)s

-- name: repair_forget_events
delete from events where event_id = any(%(ids)s::uuid[])

-- name: repair_forget_late_events
delete from late_events where event_id = any(%(ids)s::uuid[])

-- name: repair_extra_events
delete from events where event_id in (
    select id::uuid from audit_differences where what = 'event' and kind = 'extra')

-- name: repair_sightings
insert into sightings (event_id, request_id, occurred_at, fact, kafka_partition, state, settled, instance_uuid,
                       joined_partition, deadline)
select j.event_id, j.request_id, j.occurred_at, j.fact, j.kafka_partition,
       case when j.instance_uuid is null then 'UNJOINED' else 'JOINED' end, false, j.instance_uuid, o.kafka_partition,
       now() + make_interval(secs => %(patience)s)
from audit_joins j
left join (
    select instance_uuid, max(kafka_partition) as kafka_partition from audit_staged
    where instance_uuid in (select instance_uuid from audit_joins)
    group by instance_uuid
) o on o.instance_uuid = j.instance_uuid
where j.kept <> 'as it is'
on conflict (event_id) do update
set state = excluded.state, instance_uuid = excluded.instance_uuid, joined_partition = excluded.joined_partition,
    updated_at = now()

-- name: repair_owners
select instance_uuid::text, max(kafka_partition) from (
    select instance_uuid, kafka_partition from audit_staged where instance_uuid = any(%(instances)s::uuid[])
    union all select instance_uuid, kafka_partition from fact_sets where instance_uuid = any(%(instances)s::uuid[])
    union all select instance_uuid, kafka_partition from requests where instance_uuid = any(%(instances)s::uuid[])
    union all select instance_uuid, kafka_partition from failures where instance_uuid = any(%(instances)s::uuid[])
) as o group by 1

-- What is there of some instances, whatever their fact sets say: it is what the counters count.
-- name: repair_requests
select instance_uuid::text, request_key::text, request_id, coalesce(action, ''), outcome, kafka_partition
from requests where instance_uuid = any(%(instances)s::uuid[])

-- name: repair_failures
select instance_uuid::text, request_key::text, failure_id::text, coalesce(action, ''), blame, coalesce(exception, ''),
       coalesce(event_ids[1]::text, ''), kafka_partition
from failures where instance_uuid = any(%(instances)s::uuid[])

-- What stands published of some instances; the publications of the differences that name one.
-- name: repair_published
select distinct on (p.subject_id) p.instance_uuid::text, p.kind, p.subject_id::text, p.request_key::text
from publications p
join revisions r on r.subject_id = p.subject_id and r.status = 'CURRENT'
where p.subject_id in (
    select id::uuid from audit_differences
    where what in ('publication', 'request', 'failure') and instance_uuid = any(%(instances)s::uuid[]))

-- name: repair_known_revisions
select subject_id::text from revisions where subject_id = any(%(ids)s::uuid[]) and status = 'CURRENT'

-- name: repair_decided
select instance_uuid::text, request_id from decisions where instance_uuid = any(%(instances)s::uuid[])

-- name: repair_problem_counts
insert into problem_counts as p (fingerprint, kafka_partition, failures, first_at, last_at)
select coalesce(f.fingerprint, c.fingerprint), coalesce(f.kafka_partition, c.kafka_partition),
       coalesce(f.n, 0) + coalesce(c.expired, 0), coalesce(f.first_at, c.first_at), coalesce(f.last_at, c.last_at)
from (
    select fingerprint, kafka_partition, count(*) as n, min(occurred_at) as first_at, max(occurred_at) as last_at
    from failures where fingerprint is not null group by 1, 2
) f
full join problem_counts c on c.fingerprint = f.fingerprint and c.kafka_partition = f.kafka_partition
where coalesce(c.failures - c.expired, 0) <> coalesce(f.n, 0)
order by 1, 2
on conflict (fingerprint, kafka_partition) do update set failures = excluded.failures, updated_at = now()

-- name: repair_forget_requests
delete from requests where instance_uuid = any(%(instances)s::uuid[])

-- name: repair_forget_sets
delete from fact_sets f using json_to_recordset(%(keys)s::json) as n (instance_uuid uuid, request_id text)
where f.instance_uuid = n.instance_uuid and f.request_id = n.request_id

-- name: audit_forget_differences
truncate pg_temp.audit_differences, pg_temp.audit_joins, pg_temp.audit_instances

-- name: empty_derived
truncate events, late_events, fact_sets, sightings, requests, failures, problem_counts
