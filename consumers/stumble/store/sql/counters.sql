-- name: add_counters
insert into counters as c (kafka_partition, metric, labels, value)
select n.kafka_partition, n.metric, n.labels, n.value
from json_to_recordset(%(rows)s::json) as n (kafka_partition int, metric text, labels text[], value bigint)
on conflict (kafka_partition, metric, labels) do update set value = c.value + excluded.value

-- name: read_counters
select metric, labels, sum(value)::bigint
from counters
group by metric, labels
order by metric, min(first_at), labels

-- name: add_problem_counts
insert into problem_counts as p (fingerprint, kafka_partition, failures, first_at, last_at)
select n.fingerprint, n.kafka_partition, n.failures, to_timestamp(n.first_at::float8 / 1e6),
       to_timestamp(n.last_at::float8 / 1e6)
from json_to_recordset(%(rows)s::json)
     as n (fingerprint text, kafka_partition int, failures bigint, first_at bigint, last_at bigint)
on conflict (fingerprint, kafka_partition) do update
set failures = p.failures + excluded.failures,
    first_at = least(p.first_at, excluded.first_at),
    last_at = greatest(p.last_at, excluded.last_at),
    updated_at = now()
