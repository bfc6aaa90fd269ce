-- The projector's own view of each partition. `reported_at` shows whether a projector still reports.

-- name: save_partition_states
insert into partition_states (topic, kafka_partition, state, description, since, reported_at)
select %(topic)s, n.kafka_partition, n.state, n.description, n.since, now()
from unnest(%(partitions)s::int[], %(states)s::text[], %(descriptions)s::text[], %(since)s::timestamptz[])
     as n (kafka_partition, state, description, since)
on conflict (topic, kafka_partition)
do update set state = excluded.state, description = excluded.description, reported_at = excluded.reported_at,
              since = case when partition_states.state = excluded.state then partition_states.since
                           else excluded.since end

-- Projectors report every 4 to 6 seconds: without a report for 12 seconds, none reads the partition.
-- name: load_partition_states
select kafka_partition, state, description, since, reported_at, reported_at > now() - interval '12 seconds'
from partition_states
where topic = %(topic)s
order by kafka_partition

-- Sessions of this process whose commit has waited for a synchronous standby for some seconds.
-- name: count_standby_waits
select count(*)
from pg_stat_activity
where application_name = current_setting('application_name')  -- PostgreSQL has cut both to 63 bytes
  and wait_event = 'SyncRep'
  and state_change < clock_timestamp() - make_interval(secs => %(seconds)s)
