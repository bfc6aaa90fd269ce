-- The relay's own row is the sum of those of its folders, so it counts only where it reports no folder. In the order in
-- which hosts became known. The clock offset is that of the host's last report.
-- name: load_host_backlogs
select host,
       coalesce(sum(backlog_events) filter (where process <> 'relay'
                                            or host not in (select coalesce(relay_host, host) from producers
                                                            where process <> 'relay' and removed_at is null)),
                0)::bigint,
       min(extract(epoch from oldest_unsent_at))::float8,
       coalesce(sum(refused_total) filter (where process <> 'relay'), 0)::bigint,
       max(rejected_total) filter (where process = 'relay')::bigint,
       max((status->>'quarantined_total')::bigint) filter (where process = 'relay'),
       max(extract(epoch from received_at))::float8,
       (array_agg(extract(epoch from reported_at - received_at)::float8 order by received_at desc, process))[1]
from producers
where removed_at is null
group by host
order by min(first_at), host

-- name: count_bridged_hosts
select count(distinct host) from bridged_hosts

-- name: load_last_record_times
select kafka_partition, extract(epoch from last_record_at)::float8
from offsets
where topic = any(%(topics)s) and last_record_at is not null
order by kafka_partition

-- name: load_newest_failures
select distinct on (action, blame) action, blame, request_id, instance_uuid::text,
       extract(epoch from occurred_at)::float8
from (
    select action, blame, request_id, instance_uuid, occurred_at
    from failures
    where occurred_at > now() - interval '1 hour' and action is not null
    order by occurred_at desc
    limit 1000
) as newest
order by action, blame, occurred_at desc
