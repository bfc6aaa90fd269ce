-- name: save_failures
insert into failures as f ({failure.columns}, kafka_partition)
select {failure.selected}, n.kafka_partition
from json_to_recordset(%(rows)s::json) as n ({failure.types}, kafka_partition int)
on conflict (failure_id) do update
set {failure.updates}, kafka_partition = excluded.kafka_partition, updated_at = now()

-- name: delete_failures
delete from failures where failure_id = any(%(ids)s::uuid[])
