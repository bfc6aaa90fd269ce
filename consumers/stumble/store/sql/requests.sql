-- version: that of the request's fact set. A row with this version or a later one is not changed: the caller counts
-- the rows.
-- name: save_requests
insert into requests as r (
    request_key, instance_uuid, request_id, family, action, target_kind, target_id, global_request_id,
    owner_project_id, initiator_user_id, initiator_project_id, display_name, outcome, verdict, reason,
    evidence, effect, started_at, finished_at, last_event_at, linked_request_key, host, cell, region,
    availability_zone, cloud, labels, steps, failure_count, version, kafka_partition
)
select
    n.request_key, n.instance_uuid, n.request_id, n.family, n.action, n.target_kind, n.target_id,
    n.global_request_id, n.owner_project_id, n.initiator_user_id, n.initiator_project_id, n.display_name,
    n.outcome, n.verdict, n.reason, n.evidence, n.effect, to_timestamp(n.started_at::float8 / 1e6),
    to_timestamp(n.finished_at::float8 / 1e6), to_timestamp(n.last_event_at::float8 / 1e6),
    n.linked_request_key, n.host, n.cell, n.region, n.availability_zone, n.cloud, n.labels, n.steps,
    n.failure_count, n.version, n.kafka_partition
from json_to_recordset(%(rows)s::json) as n (
    request_key uuid, instance_uuid uuid, request_id text, family text, action text, target_kind text,
    target_id text, global_request_id text, owner_project_id text, initiator_user_id text,
    initiator_project_id text, display_name text, outcome text, verdict text, reason text, evidence text, effect text,
    started_at bigint, finished_at bigint, last_event_at bigint, linked_request_key uuid, host text, cell
    text, region text, availability_zone text, cloud text, labels jsonb, steps jsonb, failure_count int,
    version bigint, kafka_partition int
)
on conflict (request_key) do update
set instance_uuid = excluded.instance_uuid, request_id = excluded.request_id, family = excluded.family,
    action = excluded.action, target_kind = excluded.target_kind, target_id = excluded.target_id,
    global_request_id = excluded.global_request_id, owner_project_id = excluded.owner_project_id,
    initiator_user_id = excluded.initiator_user_id, initiator_project_id = excluded.initiator_project_id,
    display_name = excluded.display_name, outcome = excluded.outcome, verdict = excluded.verdict,
    reason = excluded.reason, evidence = excluded.evidence, effect = excluded.effect,
    started_at = excluded.started_at, finished_at = excluded.finished_at, last_event_at = excluded.last_event_at,
    linked_request_key = excluded.linked_request_key, host = excluded.host, cell = excluded.cell,
    region = excluded.region, availability_zone = excluded.availability_zone, cloud = excluded.cloud,
    labels = excluded.labels, steps = excluded.steps, failure_count = excluded.failure_count,
    version = excluded.version, kafka_partition = excluded.kafka_partition, updated_at = now()
where r.version < excluded.version

-- name: delete_requests
delete from requests where request_key = any(%(keys)s::uuid[])
