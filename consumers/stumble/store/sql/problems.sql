-- Failures by fingerprint. A new failure is one that was first published with the fingerprint: no correction moved it
-- here. A problem begins with its first new failure, and begins again with the first one that happened (not: arrived)
-- after the problem had been resolved. new_last_us: when the last new failure of the batch happened, null without one.
-- name: save_problems
with n as (
    select * from json_to_recordset(%(rows)s::json) as r (
        fingerprint text, exception text, blame text, reason text, first_us bigint, last_us bigint, new_last_us bigint)
), begins as (
    select n.fingerprint, to_timestamp(n.new_last_us / 1e6) > since
                          and coalesce(p.last_new_failure_at, '-infinity') <= since as is_new_or_regressed
    from n left join problems p using (fingerprint)
    cross join lateral (select case when p.state <> 'OPEN' then p.resolved_at else '-infinity' end as since) s
)
insert into problems as p (fingerprint, exception, blame, reason, first_at, last_at, last_new_failure_at)
select n.fingerprint, n.exception, n.blame, n.reason,
       to_timestamp(n.first_us / 1e6), to_timestamp(n.last_us / 1e6), to_timestamp(n.new_last_us / 1e6)
from n order by n.fingerprint
on conflict (fingerprint) do update
set first_at = least(p.first_at, excluded.first_at),
    last_at = greatest(p.last_at, excluded.last_at),
    last_new_failure_at = greatest(p.last_new_failure_at, excluded.last_new_failure_at),
    reason = excluded.reason,
    state = case when p.state = 'RESOLVED' and excluded.last_at > p.resolved_at then 'REGRESSED' else p.state end,
    regressed_at = case when p.state = 'RESOLVED' and excluded.last_at > p.resolved_at then now()
                        else p.regressed_at end,
    updated_at = now()
returning p.fingerprint,
          coalesce((select b.is_new_or_regressed from begins b where b.fingerprint = p.fingerprint), false)
              as is_new_or_regressed,
          coalesce(p.muted_until > now(), false) as is_muted

-- name: set_problem_state
update problems
set state = %(state)s, resolved_at = case when %(state)s = 'RESOLVED' then now() else resolved_at end,
    note = coalesce(%(note)s, note), updated_at = now()
where fingerprint = %(fingerprint)s
returning fingerprint

-- name: mute_problem
update problems
set muted_until = %(until)s, note = coalesce(%(note)s, note), updated_at = now()
where fingerprint = %(fingerprint)s
returning fingerprint

-- An OPEN problem is shown as NEW for a day from its first failure, then as ONGOING, and no longer when it has no
-- failures: they expired, or belong to another problem since they were corrected.
-- name: load_problems
with shown as (
    select p.*, case when p.muted_until > now() then 'MUTED'
                     when p.state <> 'OPEN' then p.state
                     when p.first_at > now() - interval '1 day' then 'NEW'
                     else 'ONGOING' end as shown
    from problems p
)
select s.fingerprint, s.shown as state, s.muted_until, s.exception, s.blame, s.reason, s.first_at, s.last_at,
       (select {failure.message} from failures where fingerprint = s.fingerprint
        order by occurred_at desc limit 1) as message,
       s.resolved_at, s.regressed_at, s.note, c.failures, c.instances, c.projects, c.hosts, c.actions
from shown s
cross join lateral (
    select count(*) as failures, count(distinct f.instance_uuid) as instances,
           count(distinct f.owner_project_id) as projects, count(distinct f.host) as hosts,
           count(distinct f.action) as actions
    from failures f where f.fingerprint = s.fingerprint
) c
where (%(state)s::text is null or s.shown = %(state)s)
  and (%(fingerprint)s::text is null or s.fingerprint = %(fingerprint)s)
  and (%(muted)s or s.shown <> 'MUTED' or %(state)s = 'MUTED')
  and (c.failures > 0 or s.shown not in ('NEW', 'ONGOING') or s.fingerprint = %(fingerprint)s)
  and (s.last_at, s.fingerprint) < (%(before_at)s::timestamptz, %(before)s)
order by s.last_at desc, s.fingerprint desc
limit %(limit)s

-- The most frequent actions, hosts and projects of a problem's failures.
-- name: count_problem_failures_by_attribute
select attribute, value, failures
from (
    select a.attribute, a.value, count(*) as failures,
           row_number() over (partition by a.attribute order by count(*) desc, a.value) as place
    from failures f
    cross join lateral (values ('action', f.action), ('host', f.host), ('project', f.owner_project_id))
        as a (attribute, value)
    where f.fingerprint = %(fingerprint)s
    group by a.attribute, a.value
) counted
where place <= %(most)s
order by attribute, place

-- Failures of a problem in each of the last 24 hours, oldest first.
-- name: count_problem_failures_by_hour
select count(f.failure_id)
from generate_series(0, 23) as h (hour)
left join failures f on f.fingerprint = %(fingerprint)s
    and f.occurred_at >= date_trunc('hour', now()) - make_interval(hours => 23 - h.hour)
    and f.occurred_at < date_trunc('hour', now()) - make_interval(hours => 22 - h.hour)
group by h.hour order by h.hour

-- name: count_problem_spread
select fingerprint, count(*), count(distinct instance_uuid), count(distinct owner_project_id),
       (extract(epoch from min(occurred_at)) * 1000000)::bigint
from failures
where fingerprint = any(%(fingerprints)s) and occurred_at > now() - make_interval(secs => %(window)s)
  and (%(action)s::text[] is null or coalesce(action, '') like any(%(action)s::text[]))
  and (%(project)s::text[] is null or coalesce(owner_project_id, '') like any(%(project)s::text[]))
  and (%(host)s::text[] is null or coalesce(host, '') like any(%(host)s::text[]))
  and (%(availability_zone)s::text[] is null or coalesce(availability_zone, '') like any(%(availability_zone)s::text[]))
  and (%(cell)s::text[] is null or coalesce(cell, '') like any(%(cell)s::text[]))
  and (%(region)s::text[] is null or coalesce(region, '') like any(%(region)s::text[]))
  and (%(blame)s::text[] is null or coalesce(blame, '') like any(%(blame)s::text[]))
  and (%(effect)s::text[] is null or coalesce(effect, '') like any(%(effect)s::text[]))
group by fingerprint

-- name: load_known_problems
select distinct fingerprint from failures where fingerprint is not null and occurred_at < %(since)s

-- name: load_resolved_problems
select fingerprint, resolved_at from problems where state in ('RESOLVED', 'REGRESSED') and resolved_at is not null

-- Outcomes of requests as they were published, where the outcome before was another one.
-- name: load_outcomes_in_order
select p.created_at as occurred_at, p.instance_uuid::text, p.payload->>'action' as action,
       p.payload->>'owner_project_id' as owner_project_id, p.payload->>'availability_zone' as availability_zone,
       p.payload->>'cell' as cell, p.payload->>'region' as region, p.payload->>'effect' as effect,
       p.payload->>'outcome' as outcome
from publications p
where p.kind = 'outcome' and p.status = 'CURRENT' and p.created_at >= %(since)s and p.created_at < %(until)s
  and p.payload->>'outcome' = any(%(outcomes)s)
  and p.payload->>'outcome' is distinct from (
      select b.payload->>'outcome' from publications b
      where b.subject_id = p.subject_id and b.revision < p.revision order by b.revision desc limit 1)
order by p.created_at, p.id

-- Publications whose outcome differs from that of the revision before.
-- name: load_changed_outcomes
select p.id
from publications p
where p.id = any(%(ids)s)
  and p.payload->>'outcome' is distinct from (
      select b.payload->>'outcome' from publications b
      where b.subject_id = p.subject_id and b.revision < p.revision order by b.revision desc limit 1)

-- name: load_failures_in_order
select fingerprint, occurred_at, action, exception, blame, host, availability_zone, cell, region, effect,
       instance_uuid::text, owner_project_id
from failures
where fingerprint is not null and occurred_at >= %(since)s and occurred_at < %(until)s
order by occurred_at, failure_id
