-- The last status of each producer process. The topic's offsets order them, since a sender's clock may be wrong; reading
-- a record again changes nothing.
-- name: save_producer_statuses
insert into producers as p (host, process, reported_at, alive, oldest_unsent_at, backlog_events, backlog_bytes,
                            accepted_total, sent_total, refused_total, rejected_total, status,
                            service, relay_host, relay_named, started_at, starting, ready_at,
                            topic_id, record_offset, received_at, started_seen_at, last_alive_at)
select n.host, n.process, to_timestamp(n.reported_at::float8 / 1e6), n.alive,
       to_timestamp(n.oldest_unsent_at::float8 / 1e6), n.backlog_events, n.backlog_bytes, n.accepted_total,
       n.sent_total, n.refused_total, n.rejected_total, n.status,
       n.status->>'service', n.relay_host, n.relay_named,
       to_timestamp((n.status->>'started_at')::float8 / 1e6), coalesce((n.status->>'starting')::boolean, false),
       to_timestamp((n.status->>'ready_at')::float8 / 1e6),
       n.topic_id, n.record_offset, to_timestamp(n.received_at::float8 / 1e6),
       to_timestamp(n.started_seen_at::float8 / 1e6), to_timestamp(n.last_alive_at::float8 / 1e6)
from json_to_recordset(%(rows)s::json) as n (
    host text, process text, reported_at bigint, alive boolean, oldest_unsent_at bigint, backlog_events bigint,
    backlog_bytes bigint, accepted_total bigint, sent_total bigint, refused_total bigint, rejected_total bigint,
    status jsonb, relay_host text, relay_named boolean, topic_id text, record_offset bigint, received_at bigint,
    started_seen_at bigint, last_alive_at bigint)
on conflict (host, process) do update
set reported_at = excluded.reported_at, alive = excluded.alive, oldest_unsent_at = excluded.oldest_unsent_at,
    backlog_events = excluded.backlog_events, backlog_bytes = excluded.backlog_bytes,
    accepted_total = excluded.accepted_total, sent_total = excluded.sent_total,
    refused_total = excluded.refused_total, rejected_total = excluded.rejected_total,
    status = excluded.status, service = excluded.service, relay_host = excluded.relay_host,
    relay_named = excluded.relay_named, started_at = excluded.started_at, starting = excluded.starting,
    ready_at = excluded.ready_at, topic_id = excluded.topic_id, record_offset = excluded.record_offset,
    received_at = excluded.received_at,
    started_seen_at = case when p.started_at = excluded.started_at then p.started_seen_at
                           else excluded.started_seen_at end,
    last_alive_at = greatest(p.last_alive_at, excluded.last_alive_at),
    removed_at = null, updated_at = now()
where p.topic_id <> excluded.topic_id or p.record_offset < excluded.record_offset

-- A tombstone in the topic: the relay has removed the process's outbox. The row stays for the readers of changes.
-- name: remove_producers
update producers p
set alive = false, removed_at = now(), record_offset = n.record_offset, topic_id = n.topic_id, updated_at = now()
from json_to_recordset(%(rows)s::json) as n (host text, process text, topic_id text, record_offset bigint)
where p.host = n.host and p.process = n.process and p.removed_at is null
  and (p.topic_id <> n.topic_id or p.record_offset < n.record_offset)

-- name: load_producer_names
select host, process from producers where removed_at is null

-- name: expire_producers
delete from producers where (host, process) in (
    select host, process from producers
    where received_at < now() - make_interval(days => %(days)s) or removed_at < now() - interval '1 day'
    limit %(chunk)s)

-- name: save_bridged_hosts
insert into bridged_hosts as b (host, relay_host)
select n.host, n.relay_host
from (
    select n.host, n.relay_host, k.host is not null as known,
           row_number() over (partition by k.host is null order by n.host, n.relay_host) as number
    from json_to_recordset(%(rows)s::json) as n (host text, relay_host text)
    left join bridged_hosts k on k.host = n.host and k.relay_host = n.relay_host
) n
where n.known or n.number <= %(most)s - (select count(*) from bridged_hosts)
order by n.host, n.relay_host
on conflict (host, relay_host) do update set last_at = now()

-- Without the bridges that report for a host no longer.
-- name: load_bridged_hosts
select host, relay_host from bridged_hosts where last_at > now() - interval '1 day'

-- name: expire_bridged_hosts
delete from bridged_hosts where (host, relay_host) in (
    select host, relay_host from bridged_hosts where last_at < now() - make_interval(days => %(days)s) limit %(chunk)s)
