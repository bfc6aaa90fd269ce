-- name: add_subscription
insert into subscriptions (id, url, body, kinds, match, rules, severities, secrets)
values (%(id)s, %(url)s, %(body)s, %(kinds)s, %(match)s::jsonb, %(rules)s, %(severities)s, %(secrets)s)

-- name: load_subscriptions
select id::text, url, body, kinds, match, rules, severities, secrets, created_at, disabled_at, disabled_reason
from subscriptions
where %(id)s::uuid is null or id = %(id)s
order by created_at, id

-- name: remove_subscription
delete from subscriptions where id = %(id)s returning id

-- name: replace_subscription_secrets
update subscriptions set secrets = %(secrets)s where id = %(id)s and secrets = %(stored)s returning id

-- name: disable_subscription
update subscriptions set disabled_at = now(), disabled_reason = %(reason)s where id = %(id)s and disabled_at is null

-- name: enable_subscription
update subscriptions set disabled_at = null, disabled_reason = null where id = %(id)s returning id

-- A message behind one that waits for its next attempt is due no sooner than that attempt.
-- name: add_deliveries
insert into deliveries (subscription_id, message_id, publication_id, request_key, alert, next_at)
select n.subscription_id, n.message_id, n.publication_id, n.request_key, n.alert,
       greatest(now(), (select d.next_at from deliveries d
                        where d.subscription_id = n.subscription_id and d.request_key = n.request_key
                          and d.delivered_at is null and d.given_up_at is null
                        order by d.sequence desc limit 1))
from json_to_recordset(%(rows)s::json)
     as n (subscription_id uuid, message_id uuid, publication_id bigint, request_key uuid, alert jsonb)
on conflict (subscription_id, message_id) do nothing

-- Deliveries of messages that an alert fires.
-- name: load_alert_deliveries
select subscription_id::text, message_id::text, alert
from deliveries
where alert is not null and message_id = any(%(messages)s::uuid[])

-- The next message of each request or alert to each subscriber: a later revision is never sent before an earlier one,
-- nor an alert's end before its beginning. Each subscriber gets a few messages only, and the busy ones none, so that a
-- long queue does not delay other subscribers. The statement reads the rows that it returns and those due behind them, never a whole queue:
-- min() is one index lookup.
-- name: load_due_deliveries
select d.subscription_id::text, d.message_id::text, d.attempts, s.url, s.body, s.secrets, d.created_at, d.alert,
       p.id, p.incarnation, p.xid::text, p.kind, p.subject_id::text, p.request_key::text, p.instance_uuid::text,
       p.revision, p.correction, p.status, p.replaced_by::text, p.payload, (extract(epoch from p.created_at) * 1000000)::bigint
from subscriptions s
cross join lateral (
    select *
    from deliveries w
    where w.subscription_id = s.id and w.next_at <= now() and w.delivered_at is null and w.given_up_at is null
      and (w.request_key is null
           or w.sequence = (select min(f.sequence) from deliveries f
                         where f.subscription_id = w.subscription_id and f.request_key = w.request_key
                           and f.delivered_at is null and f.given_up_at is null))
    order by w.next_at, w.sequence
    limit %(each)s
) d
left join publications p on p.id = d.publication_id
where s.disabled_at is null and s.id <> all (%(busy)s::uuid[])
order by d.next_at, d.sequence

-- Messages not delivered yet, and the age of the oldest in seconds.
-- name: count_waiting_deliveries
select count(*), coalesce(extract(epoch from now() - min(d.created_at))::float8, 0)
from deliveries d
join subscriptions s on s.id = d.subscription_id and s.disabled_at is null
where d.delivered_at is null and d.given_up_at is null

-- Messages behind it get the time of its next attempt.
-- name: record_delivery_attempt
with recorded as (
    update deliveries
    set attempts = attempts + 1, last_status = %(status)s, last_error = %(error)s,
        delivered_at = case when %(done)s then now() end,
        given_up_at = case when %(give_up)s then now() end,
        next_at = now() + make_interval(secs => %(wait)s)
    where subscription_id = %(subscription)s and message_id = %(message)s
    returning request_key, sequence, next_at
)
update deliveries
set next_at = (select next_at from recorded)
where subscription_id = %(subscription)s and request_key = (select request_key from recorded)
  and sequence > (select sequence from recorded) and delivered_at is null and given_up_at is null

-- name: load_deliveries
select message_id::text, publication_id, alert - '{labels,annotations,generatorURL}'::text[] as alert,
       attempts, next_at, delivered_at, given_up_at, last_status, last_error, created_at
from deliveries
where subscription_id = %(id)s
order by sequence desc
limit %(limit)s

-- name: resend_delivery
update deliveries
set delivered_at = null, given_up_at = null, attempts = 0, next_at = now()
where subscription_id = %(id)s and message_id = %(message)s
returning message_id
