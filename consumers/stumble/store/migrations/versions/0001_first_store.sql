-- Two schemas. What is derived can be thrown away and rebuilt from the topic; what is kept survives
-- every rebuild and refers to the derived part only by ids that a rebuild reproduces.

create schema if not exists stumble_derived;
create schema if not exists stumble_kept;

-- Events ---------------------------------------------------------------------------------------------
-- Range partitions of the id itself (UUIDv7 is time): uniqueness and time partitions are one thing.
-- body: the event as single-object Avro (C3 01, fingerprint, record).
create table stumble_derived.events (
    event_id        uuid        not null,
    occurred_at     timestamptz not null,
    kafka_partition int         not null,
    kafka_offset    bigint      not null,
    body            bytea       not null,
    primary key (event_id)
) partition by range (event_id);

-- Ids whose time is implausible land here; a new partition takes over what is its own (store/partitions.py).
create table stumble_derived.events_default partition of stumble_derived.events default;

-- Older than the retention of requests: kept and counted, and nothing else.
create table stumble_derived.late_events (
    event_id        uuid        primary key,
    occurred_at     timestamptz not null,
    kafka_partition int         not null,
    kafka_offset    bigint      not null,
    body            bytea       not null,
    stored_at       timestamptz not null default now()
);

-- Facts ----------------------------------------------------------------------------------------------
-- All that is known of one (instance, request id). request_id '' holds what the instance itself told.
-- facts: the packed set; stored: what is stored of the requests that came of it, packed, to take differences
-- against. Both are written by one release and read by the next (consumers/facts.py, consumers/diff.py).
create table stumble_derived.fact_sets (
    instance_uuid   uuid        not null,
    request_id      text        not null,
    facts           bytea       not null,
    stored          bytea       not null,
    has_context     boolean     not null default false,
    has_decisions   boolean     not null default false,
    version         bigint      not null,
    kafka_partition int         not null,
    updated_at      timestamptz not null default now(),
    primary key (instance_uuid, request_id)
) with (fillfactor = 70, toast_tuple_target = 8160);  -- compressing a few KB at each change costs more than they do
create index fact_sets_context on stumble_derived.fact_sets (instance_uuid) where has_context;

-- A failure seen without its instance, stored by whoever read it, joined by the owner of the instance.
create table stumble_derived.sightings (
    event_id        uuid        primary key,
    request_id      text        not null,
    occurred_at     timestamptz not null,
    host            text,
    exception       text,
    fact            bytea       not null,
    state           text        not null default 'UNJOINED'
                    check (state in ('UNJOINED', 'JOINED', 'CONTESTED', 'EXPIRED')),
    settled         boolean     not null default false,
    instance_uuid   uuid,
    kafka_partition int         not null,
    joined_partition int,
    deadline        timestamptz not null,
    updated_at      timestamptz not null default now()
);
create index sightings_request on stumble_derived.sightings (request_id) where not settled;
create index sightings_deadline on stumble_derived.sightings (deadline) where not settled;
create index sightings_recent on stumble_derived.sightings (updated_at) where not settled;

-- Requests and failures ------------------------------------------------------------------------------
create table stumble_derived.requests (
    request_key         uuid        primary key,
    instance_uuid       uuid        not null,
    request_id          text,
    family              text,
    action              text,
    target_kind         text,
    target_id           text,
    global_request_id   text,
    owner_project_id    text,
    initiator_user_id   text,
    initiator_project_id text,
    display_name        text,
    outcome             text        not null,
    verdict             text,
    reason              text,
    effect              text,
    started_at          timestamptz,
    finished_at         timestamptz,
    last_event_at       timestamptz,
    linked_request_key  uuid,
    host                text,
    cell                text,
    region              text,
    availability_zone   text,
    cloud               text,
    labels              jsonb       not null default '{}',
    steps               jsonb       not null default '[]',
    failure_count       int         not null default 0,
    version             bigint      not null,
    kafka_partition     int         not null,
    updated_at          timestamptz not null default now(),
    xid                 xid8        not null default pg_current_xact_id()
) with (fillfactor = 70);
create index requests_instance on stumble_derived.requests (instance_uuid, started_at desc);
create index requests_request_id on stumble_derived.requests (request_id);
create index requests_global on stumble_derived.requests (global_request_id) where global_request_id is not null;
create index requests_open on stumble_derived.requests (action) where outcome in ('IN_PROGRESS', 'STALLED');

create table stumble_derived.failures (
    failure_id          uuid        primary key,
    request_key         uuid        not null,
    instance_uuid       uuid        not null,
    request_id          text,
    action              text,
    host                text,
    node                text,
    step                text,
    attempt             int,
    exception           text,
    chain               jsonb       not null default '[]',
    code                int,
    reason              text,
    blame               text        not null,
    retryable           boolean,
    effect              text,
    occurred_at         timestamptz not null,
    fingerprint         text,
    owner_project_id    text,
    display_name        text,
    cell                text,
    region              text,
    availability_zone   text,
    target_kind         text,
    target_id           text,
    migration_id        text,
    source_host         text,
    dest_host           text,
    event_ids           uuid[]      not null default '{}',
    detail_event_id     uuid,
    kafka_partition     int         not null,
    updated_at          timestamptz not null default now(),
    xid                 xid8        not null default pg_current_xact_id()
) with (fillfactor = 80);
create index failures_recent on stumble_derived.failures (occurred_at desc, failure_id);
create index failures_instance on stumble_derived.failures (instance_uuid, occurred_at desc);
create index failures_request on stumble_derived.failures (request_key);
create index failures_problem on stumble_derived.failures (fingerprint, occurred_at);
create index failures_project on stumble_derived.failures (owner_project_id, occurred_at desc);

-- What is counted of problems, a row set per partition: writers never meet on a row.
create table stumble_derived.problem_counts (
    fingerprint     text        not null,
    kafka_partition int         not null,
    failures        bigint      not null,
    first_at        timestamptz not null,
    last_at         timestamptz not null,
    updated_at      timestamptz not null default now(),
    primary key (fingerprint, kafka_partition)
);

-- Kept over any rebuild ------------------------------------------------------------------------------
-- The truth about what was read: moved by compare and swap in the transaction that stores the events.
create table stumble_kept.offsets (
    topic           text        not null,
    kafka_partition int         not null,
    topic_id        text        not null,
    next_offset     bigint      not null,
    read_until      timestamptz,
    updated_at      timestamptz not null default now(),
    primary key (topic, kafka_partition)
) with (fillfactor = 50);

create table stumble_kept.decisions (
    request_key     uuid        not null,
    kind            text        not null,
    decided_at      timestamptz not null,
    evidence        jsonb       not null default '{}',
    instance_uuid   uuid        not null,
    request_id      text        not null,
    kafka_partition int         not null,
    primary key (request_key, kind, decided_at)
);

create table stumble_kept.counters (
    kafka_partition int         not null,
    metric          text        not null,
    labels          text[]      not null,
    value           bigint      not null,
    first_at        timestamptz not null default now(),
    primary key (kafka_partition, metric, labels)
) with (fillfactor = 50);

-- The last revision of each published subject, so that revisions rise for ever.
create table stumble_kept.revisions (
    subject_id      uuid        primary key,
    revision        int         not null,
    status          text        not null,
    digest          bytea       not null
) with (fillfactor = 80);

create table stumble_kept.publications (
    id              bigint      generated always as identity primary key,
    kind            text        not null check (kind in ('failure', 'outcome')),
    subject_id      uuid        not null,
    request_key     uuid        not null,
    instance_uuid   uuid        not null,
    revision        int         not null,
    status          text        not null,
    replaced_by     uuid,
    payload         json        not null,
    kafka_partition int         not null,
    created_at      timestamptz not null default now(),
    xid             xid8        not null default pg_current_xact_id(),
    unique (subject_id, revision)
);
create index publications_cursor on stumble_kept.publications (xid, id);

-- How far a cursor reader has come, and the token of the lease under which it came there.
create table stumble_kept.cursors (
    name            text        primary key,
    xid             xid8        not null,
    id              bigint      not null,
    token           bigint      not null,
    updated_at      timestamptz not null default now()
);

create table stumble_kept.leases (
    name            text        primary key,
    holder          text        not null,
    token           bigint      not null,
    expires_at      timestamptz not null
);

-- The last word of every producer process.
create table stumble_kept.producers (
    host            text        not null,
    process         text        not null,
    reported_at     timestamptz not null,
    alive           boolean     not null,
    oldest_unsent_at timestamptz,
    backlog_events  bigint      not null,
    backlog_bytes   bigint      not null,
    accepted_total  bigint      not null,
    sent_total      bigint      not null,
    refused_total   bigint      not null,
    set_aside_total bigint      not null,
    status          jsonb       not null,
    updated_at      timestamptz not null default now(),
    primary key (host, process)
) with (fillfactor = 70);
