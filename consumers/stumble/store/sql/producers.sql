-- The last status of each producer process: an older one that arrives later changes nothing.
-- name: save_producer_statuses
insert into producers as p (host, process, reported_at, alive, oldest_unsent_at, backlog_events, backlog_bytes,
                            accepted_total, sent_total, refused_total, rejected_total, status,
                            service, relay_host, started_at, starting, ready_at)
select n.host, n.process, to_timestamp(n.reported_at::float8 / 1e6), n.alive,
       to_timestamp(n.oldest_unsent_at::float8 / 1e6), n.backlog_events, n.backlog_bytes, n.accepted_total,
       n.sent_total, n.refused_total, n.rejected_total, n.status,
       n.status->>'service', coalesce(n.status->'attributes'->>'relay_host', n.host),
       to_timestamp((n.status->>'started_at')::float8 / 1e6), coalesce((n.status->>'starting')::boolean, false),
       to_timestamp((n.status->>'ready_at')::float8 / 1e6)
from json_to_recordset(%(rows)s::json) as n (
    host text, process text, reported_at bigint, alive boolean, oldest_unsent_at bigint, backlog_events bigint,
    backlog_bytes bigint, accepted_total bigint, sent_total bigint, refused_total bigint, rejected_total bigint,
    status jsonb)
on conflict (host, process) do update
set reported_at = excluded.reported_at, alive = excluded.alive, oldest_unsent_at = excluded.oldest_unsent_at,
    backlog_events = excluded.backlog_events, backlog_bytes = excluded.backlog_bytes,
    accepted_total = excluded.accepted_total, sent_total = excluded.sent_total,
    refused_total = excluded.refused_total, rejected_total = excluded.rejected_total,
    status = excluded.status, service = excluded.service, relay_host = excluded.relay_host,
    started_at = excluded.started_at, starting = excluded.starting, ready_at = excluded.ready_at, updated_at = now()
where p.reported_at <= excluded.reported_at

-- name: expire_producers
delete from producers where (host, process) in (
    select host, process from producers where reported_at < now() - make_interval(days => %(days)s) limit %(chunk)s)
