-- Failures for the API. PostgreSQL removes filters that are null when it plans the statement.

-- name: load_failures_page
-- Newest first; `at` and `id` are the sort key of the last row of the page before.
select {failure.api}, {failure.message} as message
  from failures
 where (%(since)s::timestamptz is null or occurred_at >= %(since)s)
   and (%(until)s::timestamptz is null or occurred_at < %(until)s)
   and (%(action)s::text[] is null or action = any(%(action)s))
   and (%(blame)s::text[] is null or blame = any(%(blame)s))
   and (%(exception)s::text[] is null or exception = any(%(exception)s))
   and (%(host)s::text[] is null or host = any(%(host)s))
   and (%(instance)s::uuid is null or instance_uuid = %(instance)s)
   and (%(project)s::text is null or owner_project_id = %(project)s)
   and (%(problem)s::text is null or fingerprint = %(problem)s)
   and (%(request)s::text is null
        or request_key = any(array(select r.request_key from requests r
                                    where r.request_id = %(request)s
                                   union all
                                   select r.request_key from requests r
                                    where r.global_request_id = %(request)s)))
   and (%(at)s::timestamptz is null
        or (occurred_at <= %(at)s and (occurred_at < %(at)s or failure_id > %(id)s::uuid)))
 order by occurred_at desc, failure_id
 limit %(limit)s;

-- name: load_failure
select {failure.api}, {failure.message} as message, event_ids, detail_event_id
  from failures
 where failure_id = %(failure_id)s;

-- name: load_failures_of_requests
-- In the order in which they happened.
select {failure.api}, {failure.message} as message
  from failures
 where request_key = any(%(request_keys)s)
 order by occurred_at, failure_id;

-- name: load_messages_of_failures
-- The messages that reasons withhold, for operators.
select failure_id::text as failure_id, {failure.message} as message
  from failures
 where failure_id = any(%(ids)s::uuid[]);

-- name: load_event_body
select body from events where event_id = %(event_id)s;

-- name: load_sightings_page
select event_id, request_id, occurred_at, host, exception, state, instance_uuid, deadline
  from sightings
 where state = any(%(state)s::text[])
   and (%(at)s::timestamptz is null
        or (occurred_at <= %(at)s and (occurred_at < %(at)s or event_id > %(id)s::uuid)))
 order by occurred_at desc, event_id
 limit %(limit)s;
