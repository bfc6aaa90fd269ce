-- The records read from the topic and what is derived from them, in temporary tables of the audit's own session.
-- name: drop_audit_tables
drop table if exists pg_temp.audit_staged, pg_temp.audit_unreadable, pg_temp.audit_joins, pg_temp.audit_instances,
    pg_temp.audit_differences

-- `facts` are those of all records of one fact set up to `until_offset` that were read together; the others have none.
-- name: create_audit_staged
create temp table audit_staged (
    event_id        uuid        not null,
    kafka_partition int         not null,
    kafka_offset    bigint      not null,
    occurred_at     timestamptz not null,
    instance_uuid   uuid,
    request_id      text        not null,
    digest          bytea       not null,
    until_offset    bigint      not null,
    facts           bytea
) with (toast_tuple_target = 8160)

-- name: create_audit_unreadable
create temp table audit_unreadable (
    kafka_partition int     not null,
    kafka_offset    bigint  not null,
    written_ms      bigint  not null,
    reason          text    not null,
    dead_letter     boolean not null default false,
    primary key (kafka_partition, kafka_offset)
)

-- name: create_audit_joins
create temp table audit_joins (
    event_id uuid, request_id text, fact bytea, instance_uuid uuid, kafka_partition int, occurred_at timestamptz,
    finding text
)

-- name: create_audit_instances
create temp table audit_instances (instance_uuid uuid primary key)

-- name: create_audit_differences
create temp table audit_differences (
    ordinal         bigint      generated always as identity primary key,
    kind            text        not null,
    what            text        not null,
    id              text        not null,
    instance_uuid   uuid,
    request_id      text,
    detail          text        not null,
    kafka_partition int,
    kafka_offset    bigint
)

-- name: copy_audit_staged
copy audit_staged (event_id, kafka_partition, kafka_offset, occurred_at, instance_uuid, request_id, digest,
                   until_offset, facts)
from stdin (format binary)

-- name: analyze_audit_staged
analyze audit_staged

-- From where each partition has to be read again to have facts up to an offset and none from there on.
-- name: load_straddling_offsets
select s.kafka_partition, min(s.kafka_offset)
from audit_staged s
join unnest(%(partitions)s::int[], %(offsets)s::bigint[]) as n (p, o)
  on s.kafka_partition = n.p and s.kafka_offset < n.o and s.until_offset >= n.o
group by s.kafka_partition

-- Records from an offset on.
-- name: delete_audit_staged_from
with n as (
    select * from unnest(%(partitions)s::int[], %(offsets)s::bigint[]) as n (p, o)
), unreadable as (
    delete from audit_unreadable u using n where u.kafka_partition = n.p and u.kafka_offset >= n.o
)
delete from audit_staged s using n where s.kafka_partition = n.p and s.kafka_offset >= n.o

-- Events that the store has in late_events; those that it would derive from today are differences.
-- name: compare_late_events
with added as (
    insert into audit_differences (kind, what, id, instance_uuid, request_id, detail, kafka_partition, kafka_offset)
    select distinct on (s.event_id) 'late', 'event', s.event_id::text, s.instance_uuid, s.request_id,
           'stored as a late event, though requests are stored for longer', s.kafka_partition, s.kafka_offset
    from audit_staged s
    join late_events l on l.event_id = s.event_id
    where s.occurred_at > now() - make_interval(days => %(days)s)
    order by s.event_id, s.kafka_offset
    returning 1
), deleted as (
    delete from audit_staged s using late_events l
    where l.event_id = s.event_id and s.occurred_at <= now() - make_interval(days => %(days)s)
    returning s.event_id
)
select count(distinct event_id) from deleted

-- The instance of each failure without one: that of its closed sighting, else the only one that fits.
-- It reads requests as the projector does; where they are missing, fact sets that had requests.
-- name: join_audit_sightings
insert into audit_joins (event_id, request_id, fact, instance_uuid, kafka_partition, occurred_at, finding)
with alone as (
    select distinct on (event_id) event_id, request_id, facts as fact, kafka_partition, occurred_at
    from audit_staged
    where instance_uuid is null and facts is not null
    order by event_id, kafka_offset  -- copies of an event with an implausible time have different times: the first counts
), known as (
    select request_id, instance_uuid from requests where request_id in (select request_id from alone)
    union
    select request_id, instance_uuid from audit_staged s
    where instance_uuid is not null and request_id in (select request_id from alone)
      and not exists (select from requests r where r.instance_uuid = s.instance_uuid and r.request_id = s.request_id)
      and not exists (
          select from fact_sets f
          where f.instance_uuid = s.instance_uuid and f.request_id = s.request_id
            and json_array_length(convert_from(f.stored, 'UTF8')::json -> 1) = 0)
), fits as (
    select request_id, (array_agg(distinct instance_uuid))[1] as instance_uuid
    from known group by request_id having count(distinct instance_uuid) = 1
)
select a.event_id, a.request_id, a.fact,
       case when stored.closed or stored.updated_at > now() - interval '30 seconds' then stored.instance_uuid
            else fits.instance_uuid end,
       a.kafka_partition, a.occurred_at,
       case when stored.event_id is null then 'missing'
            when stored.closed or stored.updated_at > now() - interval '30 seconds'
                 or stored.instance_uuid is not distinct from fits.instance_uuid then 'equal'
            else 'different' end
from alone a
left join sightings stored on stored.event_id = a.event_id
left join fits on fits.request_id = a.request_id

-- name: compare_sightings
insert into audit_differences (kind, what, id, instance_uuid, request_id, detail)
select finding, 'sighting', event_id::text, instance_uuid, request_id,
       case finding when 'missing' then 'the store does not have it' else 'joined to another server, or to none' end
from audit_joins
where finding <> 'equal'

-- name: choose_instances_of_range
insert into audit_instances
select instance_uuid from audit_staged where instance_uuid is not null
union select instance_uuid from audit_joins where instance_uuid is not null
union select instance_uuid from requests where last_event_at >= %(since)s and started_at < %(until)s
union select instance_uuid from failures where occurred_at >= %(since)s and occurred_at < %(until)s

-- name: choose_all_instances
insert into audit_instances
select instance_uuid from audit_staged where instance_uuid is not null
union select instance_uuid from audit_joins where instance_uuid is not null
union select instance_uuid from fact_sets
union select instance_uuid from requests
union select instance_uuid from failures

-- name: choose_instance
insert into audit_instances values (%(instance)s)

-- name: load_chosen_instances
select instance_uuid::text from audit_instances where instance_uuid > %(after)s::uuid
order by instance_uuid limit %(limit)s

-- In the order of the topic: of copies of an event that differ, the projector stores the first.
-- name: load_audit_facts
select instance_uuid::text, request_id, kafka_partition, facts from (
    select instance_uuid, request_id, kafka_partition, kafka_offset, facts from audit_staged
    where instance_uuid is not null and facts is not null
    union all
    select instance_uuid, request_id, null, null, fact from audit_joins where instance_uuid is not null
) as both_kinds
order by instance_uuid, kafka_offset

-- name: load_audit_facts_of_instances
select instance_uuid::text, request_id, kafka_partition, facts from (
    select instance_uuid, request_id, kafka_partition, kafka_offset, facts from audit_staged
    where instance_uuid = any(%(instances)s::uuid[]) and facts is not null
    union all
    select instance_uuid, request_id, null, null, fact from audit_joins where instance_uuid = any(%(instances)s::uuid[])
) as both_kinds
order by instance_uuid, kafka_offset

-- name: load_stored_fact_sets
select instance_uuid::text, request_id, facts, stored, has_context
from fact_sets where instance_uuid = any(%(instances)s::uuid[])

-- name: load_decisions_of_instances
select instance_uuid::text, request_key::text, kind, (extract(epoch from decided_at) * 1000000)::bigint, evidence
from decisions
where instance_uuid = any(%(instances)s::uuid[]) and decided_at <= coalesce(%(until)s::timestamptz, 'infinity')

-- Partition and offset from which the store read events.
-- name: load_event_positions
select event_id::text, kafka_partition, kafka_offset from events where event_id = any(%(ids)s::uuid[])

-- Events of the topic that the store does not have, or has with other bytes; of an id that came with several contents,
-- the store may have any. `oldest`: the first id that the store still has to have.
-- name: compare_events
with unlike as materialized (
    select s.event_id, s.instance_uuid, s.request_id, s.kafka_partition, s.kafka_offset, e.event_id is not null as there
    from audit_staged s
    left join events e on e.event_id = s.event_id
    where s.event_id >= %(oldest)s::uuid and s.occurred_at > now() - make_interval(days => %(days)s)
      and not coalesce(substr(sha256(e.body), 1, 8) = s.digest, false)
)
insert into audit_differences (kind, what, id, instance_uuid, request_id, detail, kafka_partition, kafka_offset)
select case when bool_or(there) then 'different' else 'missing' end, 'event', u.event_id::text,
       min(u.instance_uuid::text)::uuid, min(u.request_id),
       case when bool_or(there) then 'its bytes are not those of the topic' else 'the store does not have it' end,
       (array_agg(u.kafka_partition order by u.kafka_offset))[1], min(u.kafka_offset)
from unlike u
where not exists (select from late_events l where l.event_id = u.event_id)
  and not exists (
      select from audit_staged s
      join events e on e.event_id = s.event_id
      where s.event_id = u.event_id and substr(sha256(e.body), 1, 8) = s.digest)
group by u.event_id

-- name: count_expired_events
select count(distinct event_id) from audit_staged s
where not (s.event_id >= %(oldest)s::uuid and s.occurred_at > now() - make_interval(days => %(days)s))

-- Events of the store whose offset the topic holds with another record. `firsts`: the first id since a topic break.
-- name: compare_extra_events
insert into audit_differences (kind, what, id, detail, kafka_partition, kafka_offset)
select 'extra', 'event', e.event_id::text, 'the topic does not have it', e.kafka_partition, e.kafka_offset
from events e
join unnest(%(partitions)s::int[], %(starts)s::bigint[], %(ends)s::bigint[], %(firsts)s::uuid[])
     as n (p, low, high, first)
  on n.p = e.kafka_partition and e.kafka_offset >= n.low and e.kafka_offset < n.high and e.event_id >= n.first
where e.event_id >= %(low)s::uuid and e.event_id <= %(high)s::uuid
  and not exists (select from audit_staged s where s.event_id = e.event_id)

-- name: add_audit_unreadable
insert into audit_unreadable (kafka_partition, kafka_offset, written_ms, reason)
select kafka_partition, kafka_offset, written_ms, reason
from json_to_recordset(%(rows)s::json)
     as n (kafka_partition int, kafka_offset bigint, written_ms bigint, reason text)

-- name: count_audit_unreadable
select count(*), count(*) filter (where dead_letter) from audit_unreadable

-- name: mark_audit_dead_letters
update audit_unreadable u set dead_letter = true
from unnest(%(partitions)s::int[], %(offsets)s::bigint[], %(times)s::bigint[]) as n (p, o, written_ms)
where u.kafka_partition = n.p and u.kafka_offset = n.o and u.written_ms = coalesce(n.written_ms, u.written_ms)
  and not u.dead_letter

-- Records that are neither stored nor dead letters; dead letters of older ones may have expired in their topic.
-- name: compare_unreadable
with lost as (
    select * from audit_unreadable u
    where not dead_letter
      and not exists (
          select from events e where e.kafka_partition = u.kafka_partition and e.kafka_offset = u.kafka_offset)
      and not exists (
          select from late_events l where l.kafka_partition = u.kafka_partition and l.kafka_offset = u.kafka_offset)
), added as (
    insert into audit_differences (kind, what, id, detail, kafka_partition, kafka_offset)
    select 'missing', 'record', kafka_partition || ':' || kafka_offset,
           'it can''t be read (' || reason || '), and neither store nor dead letter topic has it',
           kafka_partition, kafka_offset
    from lost where written_ms >= %(reaches_ms)s
    order by kafka_partition, kafka_offset
)
select count(*) from lost where written_ms < %(reaches_ms)s

-- Compares derived requests with the stored ones, of whole instances without the fact sets that are left out.
-- name: compare_requests
with expected as (
    select {request.selected}, n.failure_count
    from json_to_recordset(%(rows)s::json) as n ({request.types}, failure_count int)
), found as (
    select {request.columns}, failure_count
    from requests r
    where instance_uuid = any(%(instances)s::uuid[])
      and not instance_uuid::text || '/' || coalesce(request_id, '') = any(%(left_out)s::text[])
)
select case when s.request_key is null then 'missing' when e.request_key is null then 'extra' else 'different' end,
       coalesce(e.request_key, s.request_key)::text, coalesce(e.instance_uuid, s.instance_uuid)::text,
       coalesce(e.request_id, s.request_id, ''),
       (select string_agg(j.key || ' is ' || (to_jsonb(s) -> j.key)::text || ', should be ' || j.value::text, ', ')
        from jsonb_each(to_jsonb(e)) j
        where s.request_key is not null and j.value is distinct from to_jsonb(s) -> j.key)
from expected e
full join found s on s.request_key = e.request_key
where e.* is distinct from s.*

-- name: compare_failures
with expected as (
    select {failure.selected} from json_to_recordset(%(rows)s::json) as n ({failure.types})
), found as (
    select {failure.columns}
    from failures f
    where instance_uuid = any(%(instances)s::uuid[])
      and not instance_uuid::text || '/' || coalesce(request_id, '') = any(%(left_out)s::text[])
)
select case when s.failure_id is null then 'missing' when e.failure_id is null then 'extra' else 'different' end,
       coalesce(e.failure_id, s.failure_id)::text, coalesce(e.instance_uuid, s.instance_uuid)::text,
       coalesce(e.request_id, s.request_id, ''),
       (select string_agg(j.key || ' is ' || (to_jsonb(s) -> j.key)::text || ', should be ' || j.value::text, ', ')
        from jsonb_each(to_jsonb(e)) j
        where s.failure_id is not null and j.value is distinct from to_jsonb(s) -> j.key)
from expected e
full join found s on s.failure_id = e.failure_id
where e.* is distinct from s.*

-- The last publication of each subject must have the derived content; `must`: there has to be a publication.
-- name: compare_publications
select case when r.subject_id is null then 'missing' else 'different' end, n.subject_id::text,
       n.instance_uuid::text, n.request_id,
       case when r.subject_id is null then 'never published' else 'published last as ' || r.status
            || ' revision ' || r.revision || ', with other content' end
from json_to_recordset(%(rows)s::json)
     as n (subject_id uuid, instance_uuid uuid, request_id text, digest text, must boolean)
left join revisions r on r.subject_id = n.subject_id
where case when r.subject_id is null then n.must
           else r.status <> 'CURRENT' or r.digest <> decode(n.digest, 'hex') end

-- Publications that are CURRENT, without a request or failure in the store.
-- name: compare_extra_publications
insert into audit_differences (kind, what, id, instance_uuid, request_id, detail)
select 'extra', 'publication', p.subject_id::text, p.instance_uuid, p.payload ->> 'request_id',
       'current publication of ' || p.kind || ', revision ' || p.revision || ', has no row in the store'
from publications p
join revisions r on r.subject_id = p.subject_id and r.revision = p.revision and r.status = 'CURRENT'
where p.created_at > now() - make_interval(days => %(days)s)
  and not exists (select from requests q where q.request_key = p.subject_id)
  and not exists (select from failures f where f.failure_id = p.subject_id)

-- The value that each counter of a partition must have: stored rows and those that retention deleted.
-- name: count_expected_counters
select kafka_partition, metric, labels, sum(n)::bigint from (
    select kafka_partition, case outcome when 'IN_PROGRESS' then 'open' else 'requests' end as metric,
           case outcome when 'IN_PROGRESS' then array[folded] else array[folded, outcome] end as labels, count(*) as n
    from (select kafka_partition, outcome,
                 case when action = any(%(actions)s::text[]) then action else 'other' end as folded
          from requests) as r
    group by 1, 2, 3
    union all
    select kafka_partition, 'failures',
           array[case when action = any(%(actions)s::text[]) then action else 'other' end, blame], count(*)
    from failures group by 1, 3
    union all
    select kafka_partition, 'exceptions', array[coalesce(exception, '')], count(*) from failures group by 1, 3
    union all
    select kafka_partition, left(metric, -8), labels, value from counters where metric like '%%\_expired'
) as all_of_them
group by 1, 2, 3

-- name: load_counters_by_partition
select kafka_partition, case when metric like '%%\_withdrawn' then left(metric, -10) else metric end as name, labels,
       sum(case when metric like '%%\_withdrawn' then -value else value end)::bigint
from counters
where metric not like '%%\_expired' and metric not in ('late_events', 'replaced_times')
group by 1, 2, 3

-- name: add_audit_differences
insert into audit_differences (kind, what, id, instance_uuid, request_id, detail)
select kind, what, id, instance_uuid, request_id, coalesce(detail, '')
from json_to_recordset(%(rows)s::json)
     as n (kind text, what text, id text, instance_uuid uuid, request_id text, detail text)

-- name: count_audit_differences
select kind, what, count(*) from audit_differences group by kind, what order by kind, what

-- name: load_audit_differences
select kind, what, id, instance_uuid::text, request_id, detail, kafka_partition, kafka_offset, ordinal
from audit_differences
where ordinal > %(after)s
order by ordinal
limit %(limit)s

-- name: count_refused_events
select host, sum(refused_total)::bigint, sum(rejected_total)::bigint
from producers
where process <> 'relay'
group by host
having sum(refused_total + rejected_total) > 0
order by host
