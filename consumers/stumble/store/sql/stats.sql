-- Sizes of the store's tables; the partitions of events count as one. rows: PostgreSQL's own estimate.
-- name: load_table_stats
select n.nspname, case when i.inhparent is null then c.relname else 'events' end as name, count(*)::int as tables,
       sum(greatest(coalesce(s.n_live_tup, 0), c.reltuples, 0))::bigint as rows,
       sum(pg_relation_size(c.oid))::bigint as heap,
       sum(pg_table_size(c.oid) - pg_relation_size(c.oid))::bigint as toast,
       sum(pg_indexes_size(c.oid))::bigint as indexes,
       sum(coalesce(s.n_dead_tup, 0))::bigint as dead,
       sum(coalesce(s.n_tup_upd, 0))::bigint as updates,
       sum(coalesce(s.n_tup_hot_upd, 0))::bigint as hot_updates,
       max(s.last_autovacuum) as vacuumed
from pg_class c
join pg_namespace n on n.oid = c.relnamespace
left join pg_inherits i on i.inhrelid = c.oid
left join pg_stat_user_tables s on s.relid = c.oid
where n.nspname in ('stumble_derived', 'stumble_durable') and c.relkind = 'r'
group by 1, 2
order by sum(pg_total_relation_size(c.oid)) desc

-- name: load_index_stats
select case when i.inhparent is null then t.relname else 'events' end as table_name,
       case when i.inhparent is null then c.relname else 'events_pkey' end as name,
       sum(pg_relation_size(c.oid))::bigint as bytes, sum(coalesce(u.idx_scan, 0))::bigint as scans
from pg_index x
join pg_class c on c.oid = x.indexrelid
join pg_class t on t.oid = x.indrelid and t.relkind = 'r'
join pg_namespace n on n.oid = t.relnamespace
left join pg_inherits i on i.inhrelid = t.oid
left join pg_stat_user_indexes u on u.indexrelid = c.oid
where n.nspname in ('stumble_derived', 'stumble_durable')
group by 1, 2
order by bytes desc

-- name: load_partition_stats
select c.relname, greatest(coalesce(s.n_live_tup, 0), c.reltuples, 0)::bigint, pg_total_relation_size(c.oid)
from pg_inherits i
join pg_class c on c.oid = i.inhrelid
left join pg_stat_user_tables s on s.relid = c.oid
where i.inhparent = 'stumble_derived.events'::regclass
order by c.relname

-- name: load_oldest_and_newest
select 'events', (select event_id::text from events order by event_id limit 1),
       (select event_id::text from events order by event_id desc limit 1)
union all
select 'failures', (select min(occurred_at)::text from failures), (select max(occurred_at)::text from failures)
union all
select 'publications', (select created_at::text from publications order by id limit 1),
       (select created_at::text from publications order by id desc limit 1)

-- name: count_rows
select (select count(*) from events), (select count(*) from requests), (select count(*) from failures)

-- name: load_database_stats
select pg_database_size(current_database()), current_setting('server_version'), current_setting('autovacuum')
