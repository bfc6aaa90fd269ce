-- name: add_counters
insert into counters as c (kafka_partition, metric, labels, value)
select n.kafka_partition, n.metric, n.labels, n.value
from json_to_recordset(%(rows)s::json) as n (kafka_partition int, metric text, labels text[], value bigint)
on conflict (kafka_partition, metric, labels) do update set value = c.value + excluded.value

-- name: load_counters
select metric, labels, sum(value)::bigint
from counters
group by metric, labels
order by metric, min(first_at), labels
