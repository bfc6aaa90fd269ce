-- name: create_repair_index
create index if not exists audit_staged_instance on audit_staged (instance_uuid)

-- Instances with differences.
-- name: load_instances_to_repair
select distinct instance_uuid::text from audit_differences
where instance_uuid is not null and instance_uuid > %(after)s::uuid and what <> 'published record'
order by 1 limit %(limit)s

-- Records whose events have to be fetched again from the topic.
-- name: load_partitions_to_repair
select kafka_partition, min(kafka_offset), max(kafka_offset) + 1 from audit_differences
where what = 'event' and kind <> 'extra' group by kafka_partition order by kafka_partition

-- name: load_offsets_to_repair
select kafka_offset from audit_differences
where what = 'event' and kind <> 'extra' and kafka_partition = %(partition)s and kafka_offset >= %(low)s
order by kafka_offset limit %(limit)s

-- name: delete_events
delete from events where event_id = any(%(ids)s::uuid[])

-- name: delete_late_events
delete from late_events where event_id = any(%(ids)s::uuid[])

-- name: delete_extra_events
delete from events where event_id in (
    select id::uuid from audit_differences where what = 'event' and kind = 'extra')

-- name: repair_sightings
insert into sightings (event_id, request_id, occurred_at, fact, kafka_partition, state, closed, instance_uuid,
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
where j.finding <> 'equal'
on conflict (event_id) do update
set state = excluded.state, instance_uuid = excluded.instance_uuid, joined_partition = excluded.joined_partition,
    updated_at = now()

-- name: load_partitions_of_instances
select instance_uuid::text, max(kafka_partition) from (
    select instance_uuid, kafka_partition from audit_staged where instance_uuid = any(%(instances)s::uuid[])
    union all select instance_uuid, kafka_partition from fact_sets where instance_uuid = any(%(instances)s::uuid[])
    union all select instance_uuid, kafka_partition from requests where instance_uuid = any(%(instances)s::uuid[])
    union all select instance_uuid, kafka_partition from failures where instance_uuid = any(%(instances)s::uuid[])
) as o group by 1

-- Stored requests of some instances, whatever their fact sets contain: the counters count these.
-- name: load_stored_requests
select instance_uuid::text, request_key::text, request_id, coalesce(action, ''), outcome, kafka_partition
from requests where instance_uuid = any(%(instances)s::uuid[])

-- name: load_stored_failures
select instance_uuid::text, request_key::text, failure_id::text, coalesce(action, ''), blame, coalesce(exception, ''),
       coalesce(event_ids[1]::text, ''), kafka_partition
from failures where instance_uuid = any(%(instances)s::uuid[])

-- Current publications of some instances that a difference names.
-- name: load_published_subjects
select distinct on (p.subject_id) p.instance_uuid::text, p.kind, p.subject_id::text, p.request_key::text
from publications p
join revisions r on r.subject_id = p.subject_id and r.status = 'CURRENT'
where p.subject_id in (
    select id::uuid from audit_differences
    where what in ('publication', 'request', 'failure') and instance_uuid = any(%(instances)s::uuid[]))

-- The current publication of each subject on which topic and store disagree, unless a later one waits for the alerter; a
-- retraction of those that the store does not have.
-- name: load_records_to_publish
with subjects as (
    select id::uuid as subject_id from audit_differences where what = 'published record'
), topic as (
    select distinct on (p.subject_id) p.* from audit_published p join subjects using (subject_id)
    order by p.subject_id, p.revision desc
)
select json_build_object(
    'ordinal', row_number() over (order by subjects.subject_id), 'kind', coalesce(p.kind, t.kind),
    'subject_id', subjects.subject_id, 'request_key', coalesce(p.request_key, t.request_key),
    'instance_uuid', coalesce(p.instance_uuid, t.instance_uuid), 'status', coalesce(p.status, 'RETRACTED'),
    'replaced_by', p.replaced_by, 'digest', coalesce(encode(r.digest, 'hex'), ''), 'payload', p.payload,
    'kafka_partition', coalesce(p.kafka_partition, 0))
from subjects
left join topic t on t.subject_id = subjects.subject_id
left join revisions r on r.subject_id = subjects.subject_id
left join publications p on p.subject_id = r.subject_id and p.revision = r.revision
where (p.subject_id is not null or r.subject_id is null)
  and coalesce(t.revision, 0) < 4611686018427387904  -- somebody else's, so high that the store can give no higher one
  and not coalesce(  -- a later publication that the alerter has not sent yet
      r.revision > coalesce(t.revision, 0)
      and (p.incarnation, p.xid, p.id) > (select incarnation, xid, id from audit_cursor), false)

-- The next revision of these subjects is higher than any that the topic has, whatever their content is.
-- name: raise_revisions_to_published
insert into revisions as r (subject_id, revision, status, digest)
select subject_id, coalesce(max(p.revision), 0), '', ''
from unnest(%(ids)s::uuid[]) as n (subject_id)
left join audit_published p using (subject_id)
group by subject_id
on conflict (subject_id) do update set revision = greatest(r.revision, excluded.revision), digest = ''

-- name: load_known_revisions
select subject_id::text from revisions where subject_id = any(%(ids)s::uuid[]) and status = 'CURRENT'

-- name: load_decided_requests
select instance_uuid::text, request_id from decisions where instance_uuid = any(%(instances)s::uuid[])

-- name: delete_requests_of_instances
delete from requests where instance_uuid = any(%(instances)s::uuid[])

-- name: delete_fact_sets
delete from fact_sets f using json_to_recordset(%(keys)s::json) as n (instance_uuid uuid, request_id text)
where f.instance_uuid = n.instance_uuid and f.request_id = n.request_id

-- name: clear_audit_results
truncate pg_temp.audit_differences, pg_temp.audit_joins, pg_temp.audit_instances

-- name: truncate_derived_tables
truncate events, late_events, fact_sets, sightings, requests, failures
