-- Subscriptions to alerts: of which rules (patterns) and severities; empty is all.
alter table stumble_kept.subscriptions
    add column rules      text[] not null default '{}',
    add column severities text[] not null default '{}';

-- What one change of an alert tells one subscriber, as it stood then; request_key is the alert's own id there, so that
-- its end never overtakes its beginning.
alter table stumble_kept.deliveries add column alert jsonb;
create index deliveries_alerts on stumble_kept.deliveries (message_id) where alert is not null;
