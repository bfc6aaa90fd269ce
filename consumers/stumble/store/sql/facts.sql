-- The touched fact sets; and every set of an instance that holds a fact which can change its other requests.
-- name: load_fact_sets
select f.instance_uuid::text, f.request_id, f.facts, f.stored, f.has_context, f.has_decisions, f.version
from fact_sets f
join json_to_recordset(%(keys)s::json) as t (instance_uuid uuid, request_id text)
  on f.instance_uuid = t.instance_uuid and f.request_id = t.request_id

-- name: load_instances_with_context
select distinct f.instance_uuid::text
from fact_sets f
join json_to_recordset(%(keys)s::json) as t (instance_uuid uuid) on f.instance_uuid = t.instance_uuid
where f.has_context

-- name: load_fact_sets_of_instances
select instance_uuid::text, request_id, facts, stored, has_context, has_decisions, version
from fact_sets
where instance_uuid = any(%(instances)s::uuid[])

-- A set with a newer version than was read is not written: the caller counts the rows.
-- name: save_fact_sets
insert into fact_sets as f (instance_uuid, request_id, facts, stored, has_context, has_decisions,
                            version, kafka_partition)
select n.instance_uuid, n.request_id, n.facts, n.stored, n.has_context, n.has_decisions, n.version,
       n.kafka_partition
from rows from (
    json_to_recordset(%(rows)s::json) as (instance_uuid uuid, request_id text, has_context boolean,
                                          has_decisions boolean, version bigint, kafka_partition int),
    unnest(%(facts)b::bytea[]),
    unnest(%(stored)b::bytea[])
) as n (instance_uuid, request_id, has_context, has_decisions, version, kafka_partition, facts, stored)
on conflict (instance_uuid, request_id) do update
set facts = excluded.facts,
    stored = excluded.stored,
    has_context = excluded.has_context,
    has_decisions = excluded.has_decisions,
    version = excluded.version,
    kafka_partition = excluded.kafka_partition,
    updated_at = now()
where f.version = excluded.version - 1

-- name: load_decisions
select request_key::text, kind, (extract(epoch from decided_at) * 1000000)::bigint, evidence
from decisions
where request_key = any(%(keys)s::uuid[])
