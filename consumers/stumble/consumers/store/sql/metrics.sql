-- name: outbox_backlogs
select host, sum(backlog_events)::bigint, min(extract(epoch from oldest_unsent_at))::float8, sum(refused_total)::bigint,
       max(extract(epoch from reported_at))::float8
from producers
group by host
order by host

-- name: read_until
select kafka_partition, extract(epoch from read_until)::float8
from offsets
where topic = any(%(topics)s) and read_until is not null
order by kafka_partition
