-- name: load_written_partitions
select topic, kafka_partition from offsets order by topic, kafka_partition

-- name: expire_default_events
delete from events_default where event_id in (
    select event_id from events_default where occurred_at < now() - make_interval(days => %(days)s) limit %(chunk)s)

-- name: expire_late_events
delete from late_events where event_id in (
    select event_id from late_events where stored_at < now() - make_interval(days => %(days)s) limit %(chunk)s)

-- Deletes fact sets without a change for some days, with their requests and failures: together, so that a late event
-- finds none of them. The caller holds the partition's lock. Deleted rows are counted, so that counters, which only
-- rise, can still be compared with the stored rows.
-- name: expire_fact_sets
with old as (
    select f.instance_uuid, f.request_id
    from fact_sets f
    where f.kafka_partition = %(partition)s and f.updated_at < now() - make_interval(days => %(days)s)
      and not exists (
          select from requests r
          where r.instance_uuid = f.instance_uuid and coalesce(r.request_id, '') = f.request_id
            and greatest(r.last_event_at, r.updated_at) >= now() - make_interval(days => %(days)s))
    limit %(chunk)s
), sets as (
    delete from fact_sets f using old o
    where f.instance_uuid = o.instance_uuid and f.request_id = o.request_id
    returning 1
), deleted as (
    delete from requests r using old o
    where r.instance_uuid = o.instance_uuid and coalesce(r.request_id, '') = o.request_id
    returning r.request_key, r.kafka_partition, r.outcome,
              case when r.action = any(%(actions)s::text[]) then r.action else 'other' end as action
), failed as (
    delete from failures f using deleted g
    where f.request_key = g.request_key
    returning f.kafka_partition, f.blame, coalesce(f.exception, '') as exception,
              case when f.action = any(%(actions)s::text[]) then f.action else 'other' end as action
), counted as (
    insert into counters as c (kafka_partition, metric, labels, value)
    select * from (
        select kafka_partition, case outcome when 'IN_PROGRESS' then 'open' else 'requests_expired' end,
               case outcome when 'IN_PROGRESS' then array[action] else array[action, outcome] end,
               count(*) * case outcome when 'IN_PROGRESS' then -1 else 1 end
        from deleted group by kafka_partition, outcome, action
        union all
        select kafka_partition, 'failures_expired', array[action, blame], count(*)
        from failed group by kafka_partition, action, blame
        union all
        select kafka_partition, 'exceptions_expired', array[exception], count(*)
        from failed group by kafka_partition, exception
        order by 1, 2, 3
    ) as n
    on conflict (kafka_partition, metric, labels) do update set value = c.value + excluded.value
)
select count(*) from sets

-- name: expire_decisions
delete from decisions where (request_key, kind, decided_at) in (
    select d.request_key, d.kind, d.decided_at from decisions d
    where d.decided_at < now() - make_interval(days => %(days)s)
      and not exists (select from requests r where r.request_key = d.request_key)
    limit %(chunk)s)

-- name: expire_sightings
delete from sightings where event_id in (
    select event_id from sightings where updated_at < now() - make_interval(days => %(days)s) limit %(chunk)s)

-- Deletes messages that were delivered or given up, and those of disabled subscriptions. Deliveries of an alert stay
-- until it is resolved, since its end goes to the same subscribers.
-- name: expire_deliveries
delete from deliveries where (subscription_id, message_id) in (
    select d.subscription_id, d.message_id
    from deliveries d join subscriptions s on s.id = d.subscription_id
    where d.created_at < now() - make_interval(days => %(days)s)
      and (d.delivered_at is not null or d.given_up_at is not null
           or s.disabled_at < now() - make_interval(days => %(days)s))
      and not exists (select from alerts a
                      where a.rule = d.alert ->> 'rule' and a.problem = d.alert ->> 'problem' and a.state = 'FIRING')
    limit %(chunk)s)

-- A publication that a reader with a cursor has not read yet stays, however old. With the last publication of a subject
-- that is no longer stored, its revision is deleted too.
-- name: expire_publications
with deleted as (
    delete from publications where id in (
        select p.id from publications p
        where p.created_at < now() - make_interval(days => %(days)s)
          and not exists (select from cursors c where (p.incarnation, p.xid, p.id) > (c.incarnation, c.xid, c.id))
        limit %(chunk)s)
    returning subject_id, revision
), deleted_revisions as (
    delete from revisions r using deleted g
    where r.subject_id = g.subject_id and r.revision = g.revision
      and not exists (select from requests q where q.request_key = r.subject_id)
      and not exists (select from failures f where f.failure_id = r.subject_id)
)
select count(*) from deleted
