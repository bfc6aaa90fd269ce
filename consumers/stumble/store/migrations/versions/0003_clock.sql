-- What the clock looks at: requests in flight by when they began (which does not change while they go on), those that
-- stall by their host, producers by when they last said something. Nothing asks for open requests by action.

alter table stumble_derived.requests add column evidence text;
create index requests_in_flight on stumble_derived.requests (kafka_partition, started_at)
    where outcome = 'IN_PROGRESS';
create index requests_stalled on stumble_derived.requests (kafka_partition, host) where outcome = 'STALLED';
drop index stumble_derived.requests_open;

alter table stumble_kept.producers
    add column service    text,
    add column relay_host text,
    add column started_at timestamptz,
    add column starting   boolean not null default false,
    add column ready_at   timestamptz;
create index producers_moved on stumble_kept.producers (updated_at);
