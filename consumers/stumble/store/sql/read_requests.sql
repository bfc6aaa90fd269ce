-- name: load_requests_by_id
-- All requests with a request id, a global request id or a request key; they may be of several servers and actions.
select {request.api}, r.failure_count, r.updated_at
  from requests r
 where r.request_key = any(array(select request_key from requests where request_id = %(id)s
                                 union all
                                 select request_key from requests where global_request_id = %(id)s
                                 union all
                                 select request_key from requests where request_key = %(key)s::uuid))
 order by r.started_at nulls last, r.request_key;

-- name: load_requests_of_instance
-- Newest first. A request without a known start is sorted by its last event.
select {request.api}, r.failure_count, r.updated_at, coalesce(r.started_at, r.last_event_at, r.updated_at) as sort_at
  from requests r
 where r.instance_uuid = %(instance)s
   and (%(action)s::text[] is null or r.action = any(%(action)s))
   and (%(outcome)s::text[] is null or r.outcome = any(%(outcome)s))
   and (%(since)s::timestamptz is null or coalesce(r.started_at, r.last_event_at, r.updated_at) >= %(since)s)
   and (%(until)s::timestamptz is null or coalesce(r.started_at, r.last_event_at, r.updated_at) < %(until)s)
   and (%(at)s::timestamptz is null
        or coalesce(r.started_at, r.last_event_at, r.updated_at) < %(at)s
        or (coalesce(r.started_at, r.last_event_at, r.updated_at) = %(at)s and r.request_key > %(id)s::uuid))
 order by sort_at desc, r.request_key
 limit %(limit)s;

-- name: load_last_failure_of_instance
select {failure.api}, {failure.message} as message
  from failures
 where instance_uuid = %(instance)s
 order by occurred_at desc, failure_id
 limit 1;

-- name: load_database_time
select now() as now;

-- name: load_facts_of_instance
-- Facts of some of a server's requests, and of the server itself.
select facts from fact_sets
 where instance_uuid = %(instance)s and (request_id = any(%(request_ids)s) or request_id = '')
 order by request_id;
