-- name: save_failures
insert into failures as f (
    failure_id, request_key, instance_uuid, request_id, action, host, node, step, attempt, exception, chain,
    code, reason, blame, retryable, effect, occurred_at, fingerprint, owner_project_id, display_name, cell,
    region, availability_zone, target_kind, target_id, migration_id, source_host, dest_host, event_ids,
    detail_event_id, kafka_partition
)
select
    n.failure_id, n.request_key, n.instance_uuid, n.request_id, n.action, n.host, n.node, n.step, n.attempt,
    n.exception, n.chain, n.code, n.reason, n.blame, n.retryable, n.effect,
    to_timestamp(n.occurred_at::float8 / 1e6), n.fingerprint, n.owner_project_id, n.display_name, n.cell,
    n.region, n.availability_zone, n.target_kind, n.target_id, n.migration_id, n.source_host, n.dest_host,
    n.event_ids, n.detail_event_id, n.kafka_partition
from json_to_recordset(%(rows)s::json) as n (
    failure_id uuid, request_key uuid, instance_uuid uuid, request_id text, action text, host text, node
    text, step text, attempt int, exception text, chain jsonb, code int, reason text, blame text, retryable
    boolean, effect text, occurred_at bigint, fingerprint text, owner_project_id text, display_name text,
    cell text, region text, availability_zone text, target_kind text, target_id text, migration_id text,
    source_host text, dest_host text, event_ids uuid[], detail_event_id uuid, kafka_partition int
)
on conflict (failure_id) do update
set request_key = excluded.request_key, instance_uuid = excluded.instance_uuid, request_id =
    excluded.request_id, action = excluded.action, host = excluded.host, node = excluded.node, step =
    excluded.step, attempt = excluded.attempt, exception = excluded.exception, chain = excluded.chain, code
    = excluded.code, reason = excluded.reason, blame = excluded.blame, retryable = excluded.retryable,
    effect = excluded.effect, occurred_at = excluded.occurred_at, fingerprint = excluded.fingerprint,
    owner_project_id = excluded.owner_project_id, display_name = excluded.display_name, cell =
    excluded.cell, region = excluded.region, availability_zone = excluded.availability_zone, target_kind =
    excluded.target_kind, target_id = excluded.target_id, migration_id = excluded.migration_id, source_host
    = excluded.source_host, dest_host = excluded.dest_host, event_ids = excluded.event_ids, detail_event_id
    = excluded.detail_event_id, kafka_partition = excluded.kafka_partition,
    updated_at = now()

-- name: delete_failures
delete from failures where failure_id = any(%(ids)s::uuid[])
