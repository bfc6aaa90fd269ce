-- name: expire_default_events
delete from events_default where event_id in (
    select event_id from events_default where occurred_at < now() - make_interval(days => %(days)s) limit %(chunk)s)

-- name: expire_late_events
delete from late_events where event_id in (
    select event_id from late_events where stored_at < now() - make_interval(days => %(days)s) limit %(chunk)s)

-- name: expire_requests
delete from requests where request_key in (
    select request_key from requests
    where last_event_at < now() - make_interval(days => %(days)s)
      and updated_at < now() - make_interval(days => %(days)s)
    limit %(chunk)s)

-- name: expire_failures
delete from failures f where failure_id in (
    select failure_id from failures
    where occurred_at < now() - make_interval(days => %(days)s)
      and updated_at < now() - make_interval(days => %(days)s)
    limit %(chunk)s)

-- name: expire_fact_sets
delete from fact_sets f where (instance_uuid, request_id) in (
    select instance_uuid, request_id from fact_sets where updated_at < now() - make_interval(days => %(days)s)
    limit %(chunk)s)

-- name: expire_old_sightings
delete from sightings where event_id in (
    select event_id from sightings where updated_at < now() - make_interval(days => %(days)s) limit %(chunk)s)

-- name: expire_decisions
delete from decisions d where (request_key, kind, decided_at) in (
    select request_key, kind, decided_at from decisions
    where decided_at < now() - make_interval(days => %(days)s)
      and not exists (select from requests r where r.request_key = decisions.request_key)
    limit %(chunk)s)

-- A publication that a cursor reader has still to read stays, however old.
-- name: expire_publications
delete from publications where id in (
    select p.id from publications p
    where p.created_at < now() - make_interval(days => %(days)s)
      and not exists (select from cursors c where (p.xid, p.id) > (c.xid, c.id))
    limit %(chunk)s)
