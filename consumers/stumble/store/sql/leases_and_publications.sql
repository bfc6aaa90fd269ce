-- The lease of a role of which only one process may be active. Its token rises each time that another process gets it.
-- name: acquire_lease
insert into leases as l (name, holder, token, expires_at)
values (%(name)s, %(holder)s, 1, clock_timestamp() + make_interval(secs => %(seconds)s))
on conflict (name) do update
set holder = excluded.holder,
    token = case when l.holder = excluded.holder then l.token else l.token + 1 end,
    expires_at = excluded.expires_at
where l.holder = excluded.holder or l.expires_at < clock_timestamp()
returning token

-- name: release_lease
update leases set expires_at = clock_timestamp() where name = %(name)s and holder = %(holder)s

-- name: create_cursor
insert into cursors (name, incarnation, xid, id, token) values (%(name)s, 0, '0', 0, 0) on conflict (name) do nothing

-- name: load_cursor
select incarnation, xid::text, id from cursors where name = %(name)s

-- A process that lost the lease can't move the cursor: the caller checks whether a row was changed.
-- name: move_cursor
update cursors c
set incarnation = %(incarnation)s, xid = %(xid)s::text::xid8, id = %(id)s, token = %(token)s, updated_at = now()
where c.name = %(name)s
  and c.token <= %(token)s
  and exists (select from leases l where l.name = %(name)s and l.token = %(token)s and l.holder = %(holder)s)

-- A transaction that is still open may commit a lower (xid, id), so readers stop at the horizon, which they read first;
-- it belongs to the incarnation that they read with it. All transactions of earlier incarnations have ended.
-- The order names the table: `xid` alone would be the text that is selected, and '1003' comes before '998'.
-- name: load_publications_after
select id, incarnation, xid::text as xid, kind, subject_id::text as subject_id, request_key::text as request_key,
       instance_uuid::text as instance_uuid, revision, correction, status, replaced_by::text as replaced_by, payload,
       (extract(epoch from created_at) * 1000000)::bigint as created_us
from publications
where (incarnation, xid, id) > (%(incarnation)s::bigint, %(xid)s::text::xid8, %(id)s)
  and (incarnation, xid) < (%(current)s::bigint, %(horizon)s::text::xid8)
order by publications.incarnation, publications.xid, publications.id
limit %(limit)s

-- name: load_oldest_publication
select incarnation, xid::text::bigint as xid, id, created_at
from publications order by publications.incarnation, publications.xid, publications.id limit 1

-- name: count_waiting_publications
select count(*), extract(epoch from min(created_at))::float8
from publications
where (incarnation, xid, id) > (%(incarnation)s::bigint, %(xid)s::text::xid8, %(id)s)
