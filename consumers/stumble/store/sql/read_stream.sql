-- Publications for streams. A transaction that is still open may commit a lower id, so readers stop at the horizon
-- (load_publications_horizon), which they read first: `id > last` alone would miss its rows.

-- name: load_stream_after
select id, xid::text::bigint as xid, kind, subject_id, request_key, instance_uuid, revision, status, replaced_by,
       created_at, payload
  from publications
 where (xid, id) > (%(xid)s::text::xid8, %(id)s)
   and xid < %(horizon)s::text::xid8
 order by publications.xid, publications.id
 limit %(limit)s;

-- name: load_stream_oldest
select xid::text::bigint as xid, id, created_at from publications order by publications.xid, publications.id limit 1;
