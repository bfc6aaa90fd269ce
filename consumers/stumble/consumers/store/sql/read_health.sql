-- Whether the store can be read, and how fresh it is.

-- name: store_version
select version_num from alembic_version;

-- name: partition_progress
select topic, kafka_partition as partition, next_offset, read_until, updated_at, now() as now
  from offsets
 order by topic, kafka_partition;
