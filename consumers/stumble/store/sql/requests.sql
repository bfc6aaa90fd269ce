-- version: that of the request's fact set. A row with this version or a later one is not changed: the caller counts
-- the rows.
-- name: save_requests
insert into requests as r ({request.columns}, failure_count, version, kafka_partition)
select {request.selected}, n.failure_count, n.version, n.kafka_partition
from json_to_recordset(%(rows)s::json)
     as n ({request.types}, failure_count int, version bigint, kafka_partition int)
on conflict (request_key) do update
set {request.updates}, failure_count = excluded.failure_count, version = excluded.version,
    kafka_partition = excluded.kafka_partition, updated_at = now()
where r.version < excluded.version

-- name: delete_requests
delete from requests where request_key = any(%(keys)s::uuid[])
