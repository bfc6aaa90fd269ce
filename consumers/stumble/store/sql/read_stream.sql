-- What follows the publications row by row. A transaction that is still open may yet commit a lower number, so readers
-- stop at the horizon (publications_horizon), asked for before: `id > last` alone would lose its rows.

-- name: stream_after
select id, xid::text::bigint as xid, kind, subject_id, request_key, instance_uuid, revision, status, replaced_by,
       created_at, payload
  from publications
 where (xid, id) > (%(xid)s::text::xid8, %(id)s)
   and xid < %(horizon)s::text::xid8
 order by publications.xid, publications.id
 limit %(limit)s;

-- name: stream_oldest
select xid::text::bigint as xid, id, created_at from publications order by publications.xid, publications.id limit 1;
