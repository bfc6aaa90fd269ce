-- Of each subscriber what is due first, and what waits behind a message of the same request or alert: both are found by
-- a few rows, however many wait.
drop index stumble_kept.deliveries_due;
create index deliveries_due on stumble_kept.deliveries (subscription_id, next_at, place)
    where delivered_at is null and given_up_at is null;
create index deliveries_behind on stumble_kept.deliveries (subscription_id, request_key, place)
    where delivered_at is null and given_up_at is null;
create index deliveries_age on stumble_kept.deliveries using brin (created_at) with (autosummarize = on);
