-- The horizon up to which publications may be read so that none is missed: every statement that starts after this one
-- sees the publications of transactions below `xid`. A writer takes a partition's lock before it has a transaction id
-- (lock_partitions). So a transaction below the newest of this statement's snapshot has either ended, or holds such a
-- lock when this statement reads the locks, which is later; long transactions of others delay nothing. For a short time
-- a holder may not show its id yet, and a standby does not show its primary's locks: then the oldest running
-- transaction of the server is the horizon. `newest`: no publication that can be read is from a higher transaction.
-- Both are transactions of the current `incarnation`; all publications of earlier ones may be read.
-- name: load_publications_horizon
with seen as materialized (
    select pg_snapshot_xmin(pg_current_snapshot())::text::bigint as oldest,
           pg_snapshot_xmax(pg_current_snapshot())::text::bigint as newest
), held as materialized (
    select pid, locktype, database, objsubid, transactionid::text::bigint as short
    from pg_locks
    where granted and mode = 'ExclusiveLock' and locktype in ('advisory', 'transactionid')
), writers as (
    select distinct pid from held
    where locktype = 'advisory' and objsubid = 2
      and database = (select oid from pg_database where datname = current_database())
), began as (  -- locks know the lower half of a transaction's id
    select w.pid, min(newest + ((h.short - newest + 2147483648) & 4294967295) - 2147483648) as xid
    from writers w cross join seen left join held h on h.pid = w.pid and h.locktype = 'transactionid'
    group by w.pid
)
select case when pg_is_in_recovery() or (select bool_or(xid is null) from began) then oldest
            else least(newest, (select min(xid) from began)) end as xid,
       newest, (select max(number) from store_incarnations) as incarnation
from seen

-- A subject whose content equals its last publication gets no new revision: a rebuild publishes nothing twice.
-- Without a payload the subject is no longer current: its last content is published again, with the new status.
-- name: add_publications
with n as (
    select * from json_to_recordset(%(rows)s::json) as r (
        ordinal int, kind text, subject_id uuid, request_key uuid, instance_uuid uuid, status text,
        replaced_by uuid, digest text, payload json, kafka_partition int)
), risen as (
    insert into revisions as r (subject_id, revision, status, digest)
    select subject_id, (extract(epoch from clock_timestamp()) * 1000000)::bigint, status, decode(digest, 'hex')
    from n order by subject_id
    on conflict (subject_id) do update
    set revision = greatest(r.revision + 1, excluded.revision), status = excluded.status, digest = excluded.digest
    where r.status <> excluded.status or r.digest <> excluded.digest
    returning subject_id, revision, xmax <> '0' as correction  -- xmax is 0 in an inserted row, not in an updated one
)
insert into publications (kind, subject_id, request_key, instance_uuid, revision, correction, status, replaced_by,
                          payload, kafka_partition, incarnation)
select n.kind, n.subject_id, n.request_key, n.instance_uuid, risen.revision, risen.correction, n.status, n.replaced_by,
       coalesce(n.payload, last.payload, '{}'), n.kafka_partition, (select max(number) from store_incarnations)
from n
join risen using (subject_id)
left join lateral (
    select p.payload from publications p
    where n.payload is null and p.subject_id = n.subject_id order by p.revision desc limit 1) last on true
order by n.ordinal
