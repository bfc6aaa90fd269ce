-- Whether the store can be read, and how recent its data is.

-- name: check_for_tables
select to_regclass('stumble_durable.alembic_version') is not null, to_regclass('stumble_derived.events') is not null

-- name: load_store_version
select v.version_num as number, obj_description('stumble_durable'::regnamespace, 'pg_namespace') as digest
from stumble_durable.alembic_version v

-- name: load_partition_progress
select topic, kafka_partition as partition, next_offset, last_record_at, s.state, s.description, s.since,
       s.reported_at > now() - interval '12 seconds' as is_reported,
       extract(epoch from now() - greatest((select max(last_record_at) from offsets),
                                           (select max(received_at) from producers)))::float8 as lag_seconds
  from offsets left join partition_states s using (topic, kafka_partition)
 order by topic, kafka_partition;

-- name: check_ownership
select pg_has_role(relowner, 'usage') from pg_class where oid = 'stumble_derived.events'::regclass
