-- Whether a database already holds a store with data.
-- name: check_for_data
select exists (select from events) or exists (select from fact_sets) or exists (select from publications)
    or exists (select from offsets)

-- name: load_decisions_until
select request_key::text, kind, (extract(epoch from decided_at) * 1000000)::bigint, evidence::text,
       instance_uuid::text, request_id, kafka_partition
from decisions
where decided_at <= coalesce(%(until)s::timestamptz, 'infinity')

-- name: add_replayed_decisions
insert into decisions (request_key, kind, decided_at, evidence, instance_uuid, request_id, kafka_partition)
select n.request_key, n.kind, to_timestamp(n.decided_at::float8 / 1e6), n.evidence::jsonb, n.instance_uuid,
       n.request_id, n.kafka_partition
from json_to_recordset(%(rows)s::json) as n (
    request_key uuid, kind text, decided_at bigint, evidence text, instance_uuid uuid, request_id text,
    kafka_partition int)
on conflict do nothing

-- name: check_for_database
select exists (select from pg_database where datname = %(name)s)
