-- Instances whose facts are to be derived again, with the partition that owns them, in an order that can be resumed.
-- name: load_instances_to_rederive
select instance_uuid::text, max(kafka_partition)
from fact_sets
where instance_uuid > %(after)s::uuid
  and (%(instance)s::uuid is null or instance_uuid = %(instance)s::uuid)
  and (%(since)s::timestamptz is null or updated_at >= %(since)s::timestamptz)
  and (%(until)s::timestamptz is null or updated_at < %(until)s::timestamptz)
group by instance_uuid
order by instance_uuid
limit %(limit)s

-- The events of facts that are made again.
-- name: load_event_bodies
select event_id::text, body from events where event_id = any(%(ids)s::uuid[])
