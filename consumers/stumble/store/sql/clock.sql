-- Producers whose status changed since a time; times are UTC microseconds.
-- name: load_changed_producers
select host, process, coalesce(relay_host, host), relay_named, service, alive, record_offset,
       (extract(epoch from received_at) * 1000000)::bigint, (extract(epoch from reported_at) * 1000000)::bigint,
       (extract(epoch from oldest_unsent_at) * 1000000)::bigint, (extract(epoch from started_at) * 1000000)::bigint,
       (extract(epoch from started_seen_at) * 1000000)::bigint, starting,
       (extract(epoch from ready_at) * 1000000)::bigint, (extract(epoch from last_alive_at) * 1000000)::bigint,
       removed_at is not null, (extract(epoch from updated_at) * 1000000)::bigint
from producers
where updated_at > to_timestamp(%(since)s::float8 / 1e6)

-- Requests in flight without an event for longer than the deadline of their action. watermarks: those of the
-- partitions; the requests started before them, so the index finds them. A row that was just stored counts as a new
-- event, whatever its emitter's clock shows. held: hosts whose own unsent events are waited for, and up to when all of
-- their events are known; that counts for requests on these hosts only.
-- name: load_overdue_requests
select r.request_key::text, r.instance_uuid::text, coalesce(r.request_id, ''), r.kafka_partition, r.action, r.host,
       (extract(epoch from r.last_event_at) * 1000000)::bigint, d.seconds
from json_to_recordset(%(watermarks)s::json) as w (kafka_partition int, watermark bigint)
join requests r on r.kafka_partition = w.kafka_partition and r.outcome = 'IN_PROGRESS'
               and r.started_at <= to_timestamp((w.watermark - %(shortest)s::float8 * 1e6) / 1e6)
join json_to_recordset(%(deadlines)s::json) as d (action text, seconds float8)
  on d.action = case when r.action = any(%(actions)s::text[]) then r.action else %(other)s end
where r.last_event_at + make_interval(secs => d.seconds) <= to_timestamp(w.watermark::float8 / 1e6)
  and r.updated_at + make_interval(secs => d.seconds) <= now()
  and not exists (
      select from json_to_recordset(%(held)s::json) as h (kafka_partition int, host text, until bigint)
      where h.kafka_partition = r.kafka_partition and h.host = r.host
        and r.last_event_at + make_interval(secs => d.seconds) > to_timestamp(h.until::float8 / 1e6))
order by r.last_event_at
limit %(limit)s

-- Requests in flight on hosts, in partitions. Those in flight are few and read once, however many hosts are asked for.
-- name: load_requests_on_hosts
with r as materialized (
    select request_key, instance_uuid, request_id, kafka_partition, host, last_event_at
    from requests
    where outcome = 'IN_PROGRESS' and kafka_partition = any(%(partitions)s)
)
select r.request_key::text, r.instance_uuid::text, coalesce(r.request_id, ''), r.kafka_partition, r.host,
       (extract(epoch from r.last_event_at) * 1000000)::bigint
from r
join json_to_recordset(%(hosts)s::json) as h (kafka_partition int, host text) using (kafka_partition, host)
order by r.last_event_at
limit %(limit)s

-- Requests that are STALLED because their host was silent, and whose own deadline is not over.
-- name: load_requests_stalled_by_silence
select r.request_key::text, r.instance_uuid::text, coalesce(r.request_id, ''), r.kafka_partition, h.host,
       (extract(epoch from r.last_event_at) * 1000000)::bigint
from json_to_recordset(%(hosts)s::json) as h (kafka_partition int, host text)
join requests r on r.kafka_partition = h.kafka_partition and r.outcome = 'STALLED' and r.host = h.host
join lateral (
    select evidence->>'cause' as cause from decisions where request_key = r.request_key
    order by decided_at desc, kind desc limit 1
) as last on last.cause = 'silence'
join json_to_recordset(%(deadlines)s::json) as d (action text, seconds float8)
  on d.action = case when r.action = any(%(actions)s::text[]) then r.action else %(other)s end
where r.last_event_at + make_interval(secs => d.seconds) > now()
order by r.last_event_at
limit %(limit)s

-- name: add_decisions
insert into decisions (request_key, kind, decided_at, evidence, instance_uuid, request_id, kafka_partition)
select n.request_key, n.kind, to_timestamp(n.decided_at::float8 / 1e6), n.evidence, n.instance_uuid, n.request_id,
       n.kafka_partition
from json_to_recordset(%(rows)s::json) as n (
    request_key uuid, kind text, decided_at bigint, evidence jsonb, instance_uuid uuid, request_id text,
    kafka_partition int)
on conflict (request_key, kind, decided_at) do nothing
