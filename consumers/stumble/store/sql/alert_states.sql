-- name: load_firing_alerts
select rule, problem from alerts where state = 'FIRING' and problem = any(%(problems)s)

-- Returns the alerts that start in this transaction; the others were firing already.
-- name: fire_alerts
with n as (
    select * from json_to_recordset(%(rows)s::json) as r (
        rule text, problem text, severity text, description text, labels jsonb, last_payload jsonb,
        first_occurred_us bigint, quiet_seconds int, failures bigint)
), fired as (
insert into alerts as a (rule, problem, state, severity, description, labels, last_payload, first_occurred_at,
                         starts_at, last_at, quiet_seconds, failures, changed_at)
select rule, problem, 'FIRING', severity, description, labels, last_payload, to_timestamp(first_occurred_us / 1e6),
       now(), now(), quiet_seconds, failures, now()
from n order by rule, problem
on conflict (rule, problem) do update
set severity = excluded.severity, description = excluded.description, labels = excluded.labels,
    last_payload = excluded.last_payload, quiet_seconds = excluded.quiet_seconds,
    first_occurred_at = case when a.state = 'FIRING' then least(a.first_occurred_at, excluded.first_occurred_at)
                             else excluded.first_occurred_at end,
    starts_at = case when a.state = 'FIRING' then a.starts_at else excluded.starts_at end,
    failures = case when a.state = 'FIRING' then a.failures + excluded.failures else excluded.failures end,
    posted_at = case when a.state = 'FIRING' then a.posted_at end,
    last_at = excluded.last_at, changed_at = excluded.changed_at, ends_at = null, state = 'FIRING'
returning a.*
)
select rule, problem, state, severity, description, labels, last_payload, first_occurred_at, starts_at, ends_at, failures
from fired where starts_at = now()

-- Resolves alerts without a new failure for their quiet time, and those whose problem was muted or resolved.
-- name: resolve_quiet_alerts
update alerts a
set state = 'RESOLVED', ends_at = now(), changed_at = now()
where a.state = 'FIRING'
  and (a.last_at < now() - make_interval(secs => a.quiet_seconds)
       or exists (select from problems p
                  where p.fingerprint = a.problem
                    and (p.muted_until > now() or (p.state = 'RESOLVED' and p.resolved_at > a.last_at))))
returning rule, problem, state, severity, description, labels, last_payload, first_occurred_at, starts_at, ends_at, failures

-- name: count_alerts
select severity, count(*) from alerts where state = 'FIRING' group by severity

-- Alerts to post to Alertmanager: never posted; changed, and not posted within the last few seconds; or due to be
-- posted again, which resolved ones are for five minutes.
-- name: load_alerts_to_post
select rule, problem, state, severity, description, labels, last_payload, first_occurred_at, starts_at, ends_at, failures
from alerts
where (state = 'FIRING' or ends_at > now() - interval '5 minutes')
  and (posted_at is null
       or (changed_at > posted_at and (state = 'RESOLVED' or posted_at < now() - make_interval(secs => %(calm)s)))
       or posted_at < now() - make_interval(secs => %(resend)s))
order by posted_at nulls first
limit 200

-- name: mark_alerts_posted
update alerts set posted_at = %(at)s
where (rule, problem) in (select * from unnest(%(rules)s::text[], %(problems)s::text[]))

-- Counts the failures of a problem that a rule matches, and names some of their actions and hosts. All failures of a
-- problem have the same exception. The message is that of the problem's newest failure.
-- name: count_problem_extent
select count(*), count(distinct instance_uuid), count(distinct owner_project_id), count(distinct host),
       (array_agg(distinct action) filter (where action is not null))[1:10],
       (array_agg(distinct host) filter (where host is not null))[1:10],
       (array_agg(array[coalesce(request_id, ''), instance_uuid::text] order by occurred_at desc))[1:3],
       (select {failure.message} from failures where fingerprint = %(fingerprint)s order by occurred_at desc limit 1)
from failures
where fingerprint = %(fingerprint)s and occurred_at >= %(since)s
  and (%(action)s::text[] is null or coalesce(action, '') like any(%(action)s::text[]))
  and (%(project)s::text[] is null or coalesce(owner_project_id, '') like any(%(project)s::text[]))
  and (%(host)s::text[] is null or coalesce(host, '') like any(%(host)s::text[]))
  and (%(availability_zone)s::text[] is null or coalesce(availability_zone, '') like any(%(availability_zone)s::text[]))
  and (%(cell)s::text[] is null or coalesce(cell, '') like any(%(cell)s::text[]))
  and (%(region)s::text[] is null or coalesce(region, '') like any(%(region)s::text[]))
  and (%(blame)s::text[] is null or coalesce(blame, '') like any(%(blame)s::text[]))
  and (%(effect)s::text[] is null or coalesce(effect, '') like any(%(effect)s::text[]))

-- The message that the reason of a request withholds: that of the failure which gave the reason.
-- name: load_message_of_request
select {failure.message}
from failures
where instance_uuid = %(instance)s::uuid and request_id = %(request)s and starts_with(%(reason)s, reason)
order by occurred_at desc
limit 1

-- name: load_alerts
select rule, problem, state, severity, description, labels, last_payload, first_occurred_at, starts_at, ends_at, failures, posted_at
from alerts
where state = 'FIRING' or %(all)s
order by state, starts_at desc
