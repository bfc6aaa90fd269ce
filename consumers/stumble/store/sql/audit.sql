-- What was read of the topic, and what follows from it: in temporary tables of the audit's own session.
-- name: audit_forget_tables
drop table if exists pg_temp.audit_staged, pg_temp.audit_unreadable, pg_temp.audit_joins, pg_temp.audit_instances,
    pg_temp.audit_differences

-- `facts` are those of all records of one fact set up to `until_offset` that were read together; the others have none.
-- name: audit_table_staged
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

-- name: audit_table_unreadable
create temp table audit_unreadable (
    kafka_partition int     not null,
    kafka_offset    bigint  not null,
    written_ms      bigint  not null,
    reason          text    not null,
    dead_letter     boolean not null default false,
    primary key (kafka_partition, kafka_offset)
)

-- name: audit_table_joins
create temp table audit_joins (
    event_id uuid, request_id text, fact bytea, instance_uuid uuid, kafka_partition int, occurred_at timestamptz,
    kept text
)

-- name: audit_table_instances
create temp table audit_instances (instance_uuid uuid primary key)

-- name: audit_table_differences
create temp table audit_differences (
    place           bigint      generated always as identity primary key,
    kind            text        not null,
    what            text        not null,
    id              text        not null,
    instance_uuid   uuid,
    request_id      text,
    detail          text        not null,
    kafka_partition int,
    kafka_offset    bigint
)

-- name: copy_staged
copy audit_staged (event_id, kafka_partition, kafka_offset, occurred_at, instance_uuid, request_id, digest,
                   until_offset, facts)
from stdin (format binary)

-- name: audit_analyze
analyze audit_staged

-- From where each partition has to be read again to have facts up to an offset and none from there on.
-- name: audit_straddling
select s.kafka_partition, min(s.kafka_offset)
from audit_staged s
join unnest(%(partitions)s::int[], %(offsets)s::bigint[]) as n (p, o)
  on s.kafka_partition = n.p and s.kafka_offset < n.o and s.until_offset >= n.o
group by s.kafka_partition

-- Records from an offset on.
-- name: audit_behind
with n as (
    select * from unnest(%(partitions)s::int[], %(offsets)s::bigint[]) as n (p, o)
), unreadable as (
    delete from audit_unreadable u using n where u.kafka_partition = n.p and u.kafka_offset >= n.o
)
delete from audit_staged s using n where s.kafka_partition = n.p and s.kafka_offset >= n.o

-- Events that the store put aside because they came too late; those that it would take today are differences.
-- name: audit_late
with told as (
    insert into audit_differences (kind, what, id, instance_uuid, request_id, detail, kafka_partition, kafka_offset)
    select distinct on (s.event_id) 'late', 'event', s.event_id::text, s.instance_uuid, s.request_id,
           'put aside as too late, though requests are kept for longer', s.kafka_partition, s.kafka_offset
    from audit_staged s
    join late_events l on l.event_id = s.event_id
    where s.occurred_at > now() - make_interval(days => %(days)s)
    order by s.event_id, s.kafka_offset
    returning 1
), gone as (
    delete from audit_staged s using late_events l
    where l.event_id = s.event_id and s.occurred_at <= now() - make_interval(days => %(days)s)
    returning s.event_id
)
select count(distinct event_id) from gone

-- Which instance each failure without one belongs to: what the clock has settled stays, else the only one that fits.
-- Requests are asked as the projector asks them; where they are gone, fact sets that had some stand for them.
-- name: audit_join
insert into audit_joins (event_id, request_id, fact, instance_uuid, kafka_partition, occurred_at, kept)
with alone as (
    select distinct on (event_id) event_id, request_id, facts as fact, kafka_partition, occurred_at
    from audit_staged
    where instance_uuid is null and facts is not null
    order by event_id
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
       case when kept.settled or kept.updated_at > now() - interval '30 seconds' then kept.instance_uuid
            else fits.instance_uuid end,
       a.kafka_partition, a.occurred_at,
       case when kept.event_id is null then 'missing'
            when kept.settled or kept.updated_at > now() - interval '30 seconds'
                 or kept.instance_uuid is not distinct from fits.instance_uuid then 'as it is'
            else 'different' end
from alone a
left join sightings kept on kept.event_id = a.event_id
left join fits on fits.request_id = a.request_id

-- name: audit_sightings
insert into audit_differences (kind, what, id, instance_uuid, request_id, detail)
select kept, 'sighting', event_id::text, instance_uuid, request_id,
       case kept when 'missing' then 'the store does not have it' else 'joined to another server, or to none' end
from audit_joins
where kept <> 'as it is'

-- name: audit_instances_of_range
insert into audit_instances
select instance_uuid from audit_staged where instance_uuid is not null
union select instance_uuid from audit_joins where instance_uuid is not null
union select instance_uuid from requests where last_event_at >= %(since)s and started_at < %(until)s
union select instance_uuid from failures where occurred_at >= %(since)s and occurred_at < %(until)s

-- name: audit_instances_of_all
insert into audit_instances
select instance_uuid from audit_staged where instance_uuid is not null
union select instance_uuid from audit_joins where instance_uuid is not null
union select instance_uuid from fact_sets
union select instance_uuid from requests
union select instance_uuid from failures

-- name: audit_one_instance
insert into audit_instances values (%(instance)s)

-- name: audit_list_instances
select instance_uuid::text from audit_instances where instance_uuid > %(after)s::uuid
order by instance_uuid limit %(limit)s

-- name: audit_facts
select instance_uuid::text, request_id, kafka_partition, facts from (
    select instance_uuid, request_id, kafka_partition, facts from audit_staged
    where instance_uuid is not null and facts is not null
    union all
    select instance_uuid, request_id, null, fact from audit_joins where instance_uuid is not null
) as both_kinds
order by instance_uuid

-- name: audit_facts_of
select instance_uuid::text, request_id, kafka_partition, facts from (
    select instance_uuid, request_id, kafka_partition, facts from audit_staged
    where instance_uuid = any(%(instances)s::uuid[]) and facts is not null
    union all
    select instance_uuid, request_id, null, fact from audit_joins where instance_uuid = any(%(instances)s::uuid[])
) as both_kinds

-- name: audit_stored_sets
select instance_uuid::text, request_id, facts, stored, has_context
from fact_sets where instance_uuid = any(%(instances)s::uuid[])

-- name: audit_decisions
select instance_uuid::text, request_key::text, kind, (extract(epoch from decided_at) * 1000000)::bigint, evidence
from decisions
where instance_uuid = any(%(instances)s::uuid[]) and decided_at <= coalesce(%(until)s::timestamptz, 'infinity')

-- Where the store says that it read events.
-- name: audit_places
select event_id::text, kafka_partition, kafka_offset from events where event_id = any(%(ids)s::uuid[])

-- Events of the topic that the store lacks, or has otherwise; of an id that came with several contents, the store may
-- have any. `oldest`: the first id that the store still keeps.
-- name: audit_events
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

-- name: audit_old_events
select count(distinct event_id) from audit_staged s
where not (s.event_id >= %(oldest)s::uuid and s.occurred_at > now() - make_interval(days => %(days)s))

-- Events that the store claims to have read there, and the topic does not hold. `firsts`: the first id since then.
-- name: audit_extra_events
insert into audit_differences (kind, what, id, detail, kafka_partition, kafka_offset)
select 'extra', 'event', e.event_id::text, 'the topic does not have it', e.kafka_partition, e.kafka_offset
from events e
join unnest(%(partitions)s::int[], %(starts)s::bigint[], %(ends)s::bigint[], %(firsts)s::uuid[])
     as n (p, low, high, first)
  on n.p = e.kafka_partition and e.kafka_offset >= n.low and e.kafka_offset < n.high and e.event_id >= n.first
where e.event_id >= %(low)s::uuid and e.event_id <= %(high)s::uuid
  and not exists (select from audit_staged s where s.event_id = e.event_id)

-- name: audit_add_unreadable
insert into audit_unreadable (kafka_partition, kafka_offset, written_ms, reason)
select kafka_partition, kafka_offset, written_ms, reason
from json_to_recordset(%(rows)s::json)
     as n (kafka_partition int, kafka_offset bigint, written_ms bigint, reason text)

-- name: audit_count_unreadable
select count(*), count(*) filter (where dead_letter) from audit_unreadable

-- name: audit_dead_letters
update audit_unreadable u set dead_letter = true
from unnest(%(partitions)s::int[], %(offsets)s::bigint[], %(times)s::bigint[]) as n (p, o, written_ms)
where u.kafka_partition = n.p and u.kafka_offset = n.o and u.written_ms = coalesce(n.written_ms, u.written_ms)
  and not u.dead_letter

-- Records that nobody took in and nobody put aside; letters of older ones may be gone from the dead letter topic.
-- name: audit_lost
with lost as (
    select * from audit_unreadable u
    where not dead_letter
      and not exists (
          select from events e where e.kafka_partition = u.kafka_partition and e.kafka_offset = u.kafka_offset)
      and not exists (
          select from late_events l where l.kafka_partition = u.kafka_partition and l.kafka_offset = u.kafka_offset)
), told as (
    insert into audit_differences (kind, what, id, detail, kafka_partition, kafka_offset)
    select 'missing', 'record', kafka_partition || ':' || kafka_offset,
           'it can''t be read (' || reason || '), and neither store nor dead letter topic has it',
           kafka_partition, kafka_offset
    from lost where written_ms >= %(reaches_ms)s
    order by kafka_partition, kafka_offset
)
select count(*) from lost where written_ms < %(reaches_ms)s

-- Requests as they should be beside those that are stored, of whole instances but for sets that are not judged.
-- name: audit_requests
with expected as (
    select request_key, instance_uuid, request_id, family, action, target_kind, target_id, global_request_id,
           owner_project_id, initiator_user_id, initiator_project_id, display_name, outcome, verdict, reason, evidence,
           effect, to_timestamp(started_at::float8 / 1e6) as started_at,
           to_timestamp(finished_at::float8 / 1e6) as finished_at,
           to_timestamp(last_event_at::float8 / 1e6) as last_event_at, linked_request_key, host, cell, region,
           availability_zone, cloud, labels, steps, failure_count
    from json_to_recordset(%(rows)s::json) as n (
        request_key uuid, instance_uuid uuid, request_id text, family text, action text, target_kind text,
        target_id text, global_request_id text, owner_project_id text, initiator_user_id text,
        initiator_project_id text, display_name text, outcome text, verdict text, reason text,
        evidence text, effect text, started_at bigint, finished_at bigint, last_event_at bigint,
        linked_request_key uuid, host text, cell text, region text, availability_zone text, cloud text, labels jsonb,
        steps jsonb, failure_count int)
), found as (
    select request_key, instance_uuid, request_id, family, action, target_kind, target_id, global_request_id,
           owner_project_id, initiator_user_id, initiator_project_id, display_name, outcome, verdict, reason, evidence,
           effect, started_at, finished_at, last_event_at, linked_request_key, host, cell, region, availability_zone,
           cloud, labels, steps, failure_count
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

-- name: audit_failures
with expected as (
    select failure_id, request_key, instance_uuid, request_id, action, host, node, step, attempt, exception, chain,
           code, reason, blame, retryable, effect, to_timestamp(occurred_at::float8 / 1e6) as occurred_at, fingerprint,
           owner_project_id, display_name, cell, region, availability_zone, target_kind, target_id, migration_id,
           source_host, dest_host, event_ids, detail_event_id
    from json_to_recordset(%(rows)s::json) as n (
        failure_id uuid, request_key uuid, instance_uuid uuid, request_id text, action text, host text, node text,
        step text, attempt int, exception text, chain jsonb, code int, reason text, blame text, retryable boolean,
        effect text, occurred_at bigint, fingerprint text, owner_project_id text, display_name text, cell text,
        region text, availability_zone text, target_kind text, target_id text, migration_id text, source_host text,
        dest_host text, event_ids uuid[], detail_event_id uuid)
), found as (
    select failure_id, request_key, instance_uuid, request_id, action, host, node, step, attempt, exception, chain,
           code, reason, blame, retryable, effect, occurred_at, fingerprint, owner_project_id, display_name, cell,
           region, availability_zone, target_kind, target_id, migration_id, source_host, dest_host, event_ids,
           detail_event_id
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

-- What stands published of each subject must be what is derived now; `must`: that it was published at all.
-- name: audit_publications
select case when r.subject_id is null then 'missing' else 'different' end, n.subject_id::text,
       n.instance_uuid::text, n.request_id,
       case when r.subject_id is null then 'never published' else 'published last as ' || r.status
            || ' revision ' || r.revision || ', with other content' end
from json_to_recordset(%(rows)s::json)
     as n (subject_id uuid, instance_uuid uuid, request_id text, digest text, must boolean)
left join revisions r on r.subject_id = n.subject_id
where case when r.subject_id is null then n.must
           else r.status <> 'CURRENT' or r.digest <> decode(n.digest, 'hex') end

-- Published, standing, and nothing in the store to show for it.
-- name: audit_extra_publications
insert into audit_differences (kind, what, id, instance_uuid, request_id, detail)
select 'extra', 'publication', p.subject_id::text, p.instance_uuid, p.payload ->> 'request_id',
       'a ' || p.kind || ' stands published as revision ' || p.revision || ' and is not in the store'
from publications p
join revisions r on r.subject_id = p.subject_id and r.revision = p.revision and r.status = 'CURRENT'
where p.created_at > now() - make_interval(days => %(days)s)
  and not exists (select from requests q where q.request_key = p.subject_id)
  and not exists (select from failures f where f.failure_id = p.subject_id)

-- What each counter of a partition has to come to: what is stored now, and what retention took out.
-- name: audit_counts
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

-- name: audit_counters
select kafka_partition, case when metric like '%%\_withdrawn' then left(metric, -10) else metric end as name, labels,
       sum(case when metric like '%%\_withdrawn' then -value else value end)::bigint
from counters
where metric not like '%%\_expired' and metric <> 'late_events'
group by 1, 2, 3

-- name: audit_problem_counts
select coalesce(c.fingerprint, f.fingerprint), coalesce(c.counted, 0)::bigint, coalesce(f.stored, 0)
from (select fingerprint, sum(failures - expired) as counted from problem_counts group by fingerprint) c
full join (select fingerprint, count(*) as stored from failures where fingerprint is not null group by fingerprint) f
  on f.fingerprint = c.fingerprint
where coalesce(c.counted, 0) <> coalesce(f.stored, 0)

-- name: audit_tell
insert into audit_differences (kind, what, id, instance_uuid, request_id, detail)
select kind, what, id, instance_uuid, request_id, coalesce(detail, '')
from json_to_recordset(%(rows)s::json)
     as n (kind text, what text, id text, instance_uuid uuid, request_id text, detail text)

-- name: audit_count_differences
select kind, what, count(*) from audit_differences group by kind, what order by kind, what

-- name: audit_list_differences
select kind, what, id, instance_uuid::text, request_id, detail, kafka_partition, kafka_offset, place
from audit_differences
where place > %(after)s
order by place
limit %(limit)s

-- name: audit_refused
select host, sum(refused_total)::bigint, sum(set_aside_total)::bigint
from producers
group by host
having sum(refused_total + set_aside_total) > 0
order by host
