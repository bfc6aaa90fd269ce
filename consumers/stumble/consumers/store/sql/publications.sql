-- A subject whose content is what was last published gets no new revision: a rebuild publishes nothing twice.
-- Without a payload the subject no longer stands: its last content is told again, with the new status.
-- name: publish
with n as (
    select * from json_to_recordset(%(rows)s::json) as r (
        ordinal int, kind text, subject_id uuid, request_key uuid, instance_uuid uuid, status text,
        replaced_by uuid, digest text, payload json, kafka_partition int)
), risen as (
    insert into revisions as r (subject_id, revision, status, digest)
    select subject_id, 1, status, decode(digest, 'hex') from n order by subject_id
    on conflict (subject_id) do update
    set revision = r.revision + 1, status = excluded.status, digest = excluded.digest
    where r.status <> excluded.status or r.digest <> excluded.digest
    returning subject_id, revision
)
insert into publications (kind, subject_id, request_key, instance_uuid, revision, status, replaced_by, payload,
                          kafka_partition)
select n.kind, n.subject_id, n.request_key, n.instance_uuid, risen.revision, n.status, n.replaced_by,
       coalesce(n.payload, last.payload, '{}'), n.kafka_partition
from n
join risen using (subject_id)
left join publications last on n.payload is null and last.subject_id = n.subject_id
                            and last.revision = risen.revision - 1
order by n.ordinal
