-- Whether the store can be read, and how fresh it is.

-- name: store_version
select version_num from alembic_version;

-- name: partition_progress
select topic, kafka_partition as partition, next_offset, read_until,
       extract(epoch from now() - greatest((select max(read_until) from offsets),
                                           (select max(reported_at) from producers)))::float8 as lag_seconds
  from offsets
 where topic !~ ' before$'
 order by topic, kafka_partition;
