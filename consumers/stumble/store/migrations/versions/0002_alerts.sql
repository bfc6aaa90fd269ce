-- Problems and alerts: kept over any rebuild. What is counted of them is asked of the failures, never stored.

create table stumble_kept.problems (
    fingerprint     text        primary key,
    state           text        not null default 'OPEN' check (state in ('OPEN', 'RESOLVED', 'REGRESSED')),
    action          text,
    exception       text,
    blame           text,
    reason          text,
    first_at        timestamptz not null,
    last_at         timestamptz not null,
    resolved_at     timestamptz,
    regressed_at    timestamptz,
    muted_until     timestamptz,
    note            text,
    updated_at      timestamptz not null default now()
);
create index problems_recent on stumble_kept.problems (last_at desc, fingerprint);

-- One alert is a state of one rule and one problem. since: when the first failure that it is about happened.
create table stumble_kept.alerts (
    rule            text        not null,
    problem         text        not null,
    state           text        not null check (state in ('FIRING', 'RESOLVED')),
    severity        text        not null,
    text            text        not null,
    labels          jsonb       not null,
    last            jsonb       not null,
    since           timestamptz not null,
    starts_at       timestamptz not null,
    last_at         timestamptz not null,
    ends_at         timestamptz,
    quiet_seconds   int         not null,
    failures        bigint      not null,
    changed_at      timestamptz not null,
    posted_at       timestamptz,
    primary key (rule, problem)
);
create index alerts_live on stumble_kept.alerts (state, last_at);

-- Who is told of each failure or outcome over HTTP.
create table stumble_kept.subscriptions (
    id              uuid        primary key,
    url             text        not null,
    body            text        not null check (body in ('standard', 'alertmanager')),
    kinds           text[]      not null,
    match           jsonb       not null default '{}',
    secrets         text[]      not null,
    created_at      timestamptz not null default now(),
    disabled_at     timestamptz,
    disabled_reason text
);

-- One message to one subscriber: its id is the same at every try.
create table stumble_kept.deliveries (
    subscription_id uuid        not null references stumble_kept.subscriptions on delete cascade,
    message_id      uuid        not null,
    publication_id  bigint,
    request_key     uuid,
    place           bigint      generated always as identity,
    attempts        int         not null default 0,
    next_at         timestamptz not null default now(),
    delivered_at    timestamptz,
    given_up_at     timestamptz,
    last_status     int,
    last_error      text,
    created_at      timestamptz not null default now(),
    primary key (subscription_id, message_id)
);
create index deliveries_due on stumble_kept.deliveries (next_at) where delivered_at is null and given_up_at is null;
create index deliveries_log on stumble_kept.deliveries (subscription_id, place desc);
