-- The last incarnation, and the identity of this session's database; null on a standby, which cannot read its timeline.
-- name: load_incarnation
select i.number, i.started_at, i.identity, i.reason, stumble_durable.database_identity() as seen_identity
from (values (1)) as one
left join lateral (select * from stumble_durable.store_incarnations order by number desc limit 1) i on true

-- Waits until every transaction that has read the number of the current incarnation has ended: what it wrote comes
-- before the next incarnation.
-- name: lock_incarnations
lock table stumble_durable.store_incarnations in access exclusive mode

-- name: add_incarnation
insert into stumble_durable.store_incarnations (number, identity, reason)
select greatest((extract(epoch from clock_timestamp()) * 1000000)::bigint,
                (select max(number) + 1 from stumble_durable.store_incarnations)),
       stumble_durable.database_identity(), %(reason)s

-- Whether the store's counters may be lower than they were in an earlier incarnation: partitions that have not been read
-- up to the end that they had when the incarnation began, or whose end is not noted yet.
-- name: count_partitions_to_catch_up
select count(*) filter (where incarnation is distinct from (select max(number) from store_incarnations)
                              or catch_up_offset is not null) as waiting,
       count(*) as partitions
from offsets where topic = any(%(topics)s)

-- Sessions of other processes of stumble with this database.
-- name: load_other_sessions
select distinct split_part(application_name, '@', 1)
from pg_stat_activity
where datname = current_database() and pid <> pg_backend_pid() and application_name like 'stumble-%%'
  and application_name not in ('stumble-migrate', 'stumble-check')
order by 1

-- Tables, indexes, constraints and triggers of the store, without the partitions of events; and how many `migrate` left.
-- Only PostgreSQL 18 and later count `not null` as a constraint.
-- name: count_store_objects
with tables as (
    select c.oid from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where n.nspname in ('stumble_derived', 'stumble_durable') and c.relkind in ('r', 'p')
      and (not c.relispartition or c.relname = 'events_default')
)
select (select count(*) from tables)
       + (select count(*) from pg_index where indrelid in (select oid from tables) and indisvalid)
       + (select count(*) from pg_constraint where conrelid in (select oid from tables) and contype <> 'n')
       + (select count(*) from pg_trigger where tgrelid in (select oid from tables) and not tgisinternal),
       obj_description(to_regnamespace('stumble_derived'), 'pg_namespace')
