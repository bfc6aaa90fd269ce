-- Two schemas. stumble_derived can be emptied and built again from the topic. stumble_durable survives every rebuild
-- and refers to the derived part only by ids that a rebuild reproduces.

create schema if not exists stumble_derived;
create schema if not exists stumble_durable;  -- Alembic's table of versions is in it

-- Events ---------------------------------------------------------------------------------------------
-- Range partitions of the id itself (UUIDv7 is time): uniqueness and time partitions are one thing.
-- body: the event as single-object Avro (C3 01, fingerprint, record). message: of its failure, where the reason does not
-- show it; it is in the body, too, and here so that lists of failures need not decode bodies.
create table stumble_derived.events (
    event_id        uuid        not null,
    occurred_at     timestamptz not null,
    kafka_partition int         not null,
    kafka_offset    bigint      not null,
    body            bytea       not null,
    message         text,
    primary key (event_id)
) partition by range (event_id);

-- Ids whose time is implausible are stored here; a new partition takes over its own rows (store/partitions.py).
create table stumble_derived.events_default partition of stumble_derived.events default;

-- The partition of a day of ids. Only an owner of `events` may attach or drop one, so these functions run as the owner:
-- whoever may insert into and delete from `events` may use them, and needs no other right. They refuse all other callers.
create function stumble_derived.create_events_partition(day date) returns void
    language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    partition text := 'stumble_derived.events_' || to_char(day, 'YYYYMMDD');
    low text := lpad(to_hex((extract(epoch from day) * 1000)::bigint), 12, '0') || repeat('0', 20);
    high text := lpad(to_hex((extract(epoch from day + 1) * 1000)::bigint), 12, '0') || repeat('0', 20);
begin
    if not has_table_privilege(session_user, 'stumble_derived.events', 'insert') then
        raise insufficient_privilege using message = 'permission denied for table events';
    end if;
    if to_regclass(partition) is not null then
        return;
    end if;
    lock table stumble_derived.events_default in share row exclusive mode;
    execute 'create table ' || partition || ' (like stumble_derived.events including all)';
    execute 'with moved as (delete from stumble_derived.events_default where event_id >= $1 and event_id < $2 returning *)'
            ' insert into ' || partition || ' select * from moved' using low::uuid, high::uuid;
    execute 'alter table stumble_derived.events attach partition ' || partition ||
            ' for values from (' || quote_literal(low) || ') to (' || quote_literal(high) || ')';
end
$$;
create function stumble_derived.drop_events_partition(day date) returns void
    language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    if not has_table_privilege(session_user, 'stumble_derived.events', 'delete') then
        raise insufficient_privilege using message = 'permission denied for table events';
    end if;
    execute 'drop table if exists stumble_derived.events_' || to_char(day, 'YYYYMMDD');
end
$$;

-- Events older than the retention of requests: stored and counted, nothing is derived from them.
create table stumble_derived.late_events (
    event_id        uuid        primary key,
    occurred_at     timestamptz not null,
    kafka_partition int         not null,
    kafka_offset    bigint      not null,
    body            bytea       not null,
    message         text,
    stored_at       timestamptz not null default now()
);

-- Facts ----------------------------------------------------------------------------------------------
-- All facts of one (instance, request id). request_id '' holds facts of the instance itself.
-- facts: the packed set; stored: what is stored of the requests derived from it, packed, to take differences
-- against. Both are written by one release and read by the next (outcome/facts.py, outcome/diff.py).
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
create index fact_sets_age on stumble_derived.fact_sets using brin (updated_at) with (autosummarize = on);
create index fact_sets_context on stumble_derived.fact_sets (instance_uuid) where has_context;

-- A failure seen without its instance: stored by the projector that read it, joined by the owner of the instance's
-- partition. AMBIGUOUS: its request id belongs to more than one instance. closed: its deadline is over.
create table stumble_derived.sightings (
    event_id        uuid        primary key,
    request_id      text        not null,
    occurred_at     timestamptz not null,
    host            text,
    exception       text,
    fact            bytea       not null,
    state           text        not null default 'UNJOINED'
                    check (state in ('UNJOINED', 'JOINED', 'AMBIGUOUS', 'EXPIRED')),
    closed          boolean     not null default false,
    instance_uuid   uuid,
    kafka_partition int         not null,
    joined_partition int,
    deadline        timestamptz not null,
    updated_at      timestamptz not null default now()
);
create index sightings_request on stumble_derived.sightings (request_id) where not closed;
create index sightings_deadline on stumble_derived.sightings (deadline) where not closed;
create index sightings_recent on stumble_derived.sightings (updated_at) where not closed;

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
    evidence            text,
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
    updated_at          timestamptz not null default now()
) with (fillfactor = 70);
create index requests_instance on stumble_derived.requests (instance_uuid, started_at desc);
create index requests_request_id on stumble_derived.requests (request_id);
create index requests_global on stumble_derived.requests (global_request_id) where global_request_id is not null;
-- For the clock: requests in flight by their start, which does not change; stalled ones by host.
create index requests_in_flight on stumble_derived.requests (kafka_partition, started_at)
    where outcome = 'IN_PROGRESS';
create index requests_stalled on stumble_derived.requests (kafka_partition, host) where outcome = 'STALLED';

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
    updated_at          timestamptz not null default now()
) with (fillfactor = 80);
create index failures_recent on stumble_derived.failures (occurred_at desc, failure_id);
create index failures_instance on stumble_derived.failures (instance_uuid, occurred_at desc);
create index failures_request on stumble_derived.failures (request_key);
create index failures_problem on stumble_derived.failures (fingerprint, occurred_at);
create index failures_project on stumble_derived.failures (owner_project_id, occurred_at desc);

-- Durable --------------------------------------------------------------------------------------------
-- The incarnations of the store: one ends when the database is restored or fails over to another server. The highest number is
-- the current one; it is the microsecond of its begin, so that no restore gives a number out again.
create table stumble_durable.store_incarnations (
    number          bigint      primary key,
    started_at      timestamptz not null default now(),
    identity        text        not null,
    reason          text        not null
);

-- It changes with a new cluster (system identifier), a promoted standby or a recovery to a point in time (timeline), a
-- new database, and a restored table. A standby has no timeline of its own: null.
-- All roles must see the same, so it runs as the owner. Servers that do not show their cluster are known by the last two.
create function stumble_durable.database_identity() returns text
    language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    cluster text := '';
begin
    if pg_is_in_recovery() then
        return null;
    end if;
    begin
        cluster := (select system_identifier from pg_control_system())::text || '/'
                   || left(pg_walfile_name(pg_current_wal_lsn()), 8);
    exception when insufficient_privilege or feature_not_supported then
        null;
    end;
    return cluster || '/' || (select oid from pg_database where datname = current_database())
           || '/' || 'stumble_durable.store_incarnations'::regclass::oid;
end
$$;

-- Up to where each partition was read: moved by compare and swap in the transaction that stores the events.
-- leader_epoch: Kafka's leader epoch of the record before next_offset, null if there is none or none is known.
-- stopped_state, stopped_at, stop_reason: why the partition is not read until an operator moves the offset.
-- highest_offset: the highest next_offset of this topic id. incarnation: the last one that noted the partition's end;
-- catch_up_offset: that end, null once the partition was read up to it.
create table stumble_durable.offsets (
    topic           text        not null,
    kafka_partition int         not null,
    topic_id        text        not null,
    next_offset     bigint      not null,
    highest_offset  bigint      not null default 0,
    last_record_at  timestamptz,
    leader_epoch    int,
    stopped_state   text,
    stopped_at      timestamptz,
    stop_reason     text,
    incarnation     bigint,
    catch_up_offset bigint,
    updated_at      timestamptz not null default now(),
    primary key (topic, kafka_partition)
) with (fillfactor = 50);

-- What the projector says of each partition: whether it reads it, why not, and since when.
create table stumble_durable.partition_states (
    topic           text        not null,
    kafka_partition int         not null,
    state           text        not null,
    description     text        not null,
    since           timestamptz not null,
    reported_at     timestamptz not null,
    primary key (topic, kafka_partition)
) with (fillfactor = 50);

-- Up to where a topic was read that was then cut back or created again.
create table stumble_durable.topic_breaks (
    topic           text        not null,
    kafka_partition int         not null,
    topic_id        text        not null,
    next_offset     bigint      not null,
    last_record_at  timestamptz,
    broken_at       timestamptz not null default now(),
    primary key (topic, kafka_partition)
);

-- Up to which offset (exclusive) an operator lets bad records go to the dead letter topic, however many they are.
create table stumble_durable.bad_record_limits (
    topic           text        not null,
    kafka_partition int         not null,
    topic_id        text        not null,
    until_offset    bigint      not null,
    set_at          timestamptz not null default now(),
    primary key (topic, kafka_partition)
);

-- How often dead letters were sent again, by their record in the topic of this id, so that a repeated or interrupted
-- redrive continues where it was.
create table stumble_durable.redrive_counts (
    topic_id        text        not null,
    kafka_partition int         not null,
    kafka_offset    bigint      not null,
    redrives        int         not null default 1,
    last_at         timestamptz not null default now(),
    primary key (topic_id, kafka_partition, kafka_offset)
);

create table stumble_durable.decisions (
    request_key     uuid        not null,
    kind            text        not null,
    decided_at      timestamptz not null,
    evidence        jsonb       not null default '{}',
    instance_uuid   uuid        not null,
    request_id      text        not null,
    kafka_partition int         not null,
    primary key (request_key, kind, decided_at)
);
create index decisions_instance on stumble_durable.decisions (instance_uuid);

create table stumble_durable.counters (
    kafka_partition int         not null,
    metric          text        not null,
    labels          text[]      not null,
    value           bigint      not null,
    first_at        timestamptz not null default now(),
    primary key (kafka_partition, metric, labels)
) with (fillfactor = 50);

-- The last revision of each published subject, so that revisions only rise: at least to the current microsecond, so that
-- a restored store gives none out again. digest: BLAKE2b of status, replacement and payload as JSON; the payload's
-- fields stand in the order that stumble.outcome.records declares.
create table stumble_durable.revisions (
    subject_id      uuid        primary key,
    revision        bigint      not null,
    status          text        not null,
    digest          bytea       not null
) with (fillfactor = 80);

-- correction: an earlier revision of the subject was published. incarnation: of the store when this was written; ids of
-- transactions can only be compared within one.
create table stumble_durable.publications (
    id              bigint      generated always as identity primary key,
    kind            text        not null check (kind in ('failure', 'outcome')),
    subject_id      uuid        not null,
    request_key     uuid        not null,
    instance_uuid   uuid        not null,
    revision        bigint      not null,
    correction      boolean     not null,
    status          text        not null,
    replaced_by     uuid,
    payload         json        not null,
    kafka_partition int         not null,
    created_at      timestamptz not null default now(),
    incarnation     bigint      not null,
    xid             xid8        not null default pg_current_xact_id(),
    unique (subject_id, revision)
);
create index publications_cursor on stumble_durable.publications (incarnation, xid, id);
create index publications_age on stumble_durable.publications using brin (created_at) with (autosummarize = on);

-- Readers follow (incarnation, xid, id), so the revisions of a subject must rise with the transactions that write them.
-- A partition's lock orders its writers; when partitions are added, an instance moves to another partition, and the
-- writers of both may meet. The one whose transaction is older then rolls back (serialization_failure) and tries again
-- with a newer one.
create function stumble_durable.check_publication_order() returns trigger language plpgsql as $$
begin
    if exists (select from stumble_durable.publications p
               where p.subject_id = new.subject_id and p.revision < new.revision
                 and p.incarnation = new.incarnation and p.xid > new.xid) then
        raise exception using
            errcode = 'serialization_failure',
            message = 'a newer transaction wrote an earlier revision of ' || new.subject_id;
    end if;
    return new;
end
$$;
create trigger publications_order before insert on stumble_durable.publications
    for each row when (new.correction) execute function stumble_durable.check_publication_order();

-- How far a reader of publications has read, and the token of the lease under which it read.
create table stumble_durable.cursors (
    name            text        primary key,
    incarnation     bigint      not null,
    xid             xid8        not null,
    id              bigint      not null,
    token           bigint      not null,
    updated_at      timestamptz not null default now()
);

create table stumble_durable.leases (
    name            text        primary key,
    holder          text        not null,
    token           bigint      not null,
    expires_at      timestamptz not null
);

-- The last status of every producer process, by its offset in the topic of this id. reported_at, oldest_unsent_at,
-- started_at, ready_at: by the clock of the sender; received_at, started_seen_at, last_alive_at: when the broker appended
-- the status, the first one with this started_at, the last one that said alive. relay_host: the host of the relay that
-- sent it; relay_named: the record's header names that relay. removed_at: a tombstone followed.
create table stumble_durable.producers (
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
    rejected_total  bigint      not null,
    status          jsonb       not null,
    service         text,
    relay_host      text,
    relay_named     boolean     not null default false,
    started_at      timestamptz,
    starting        boolean     not null default false,
    ready_at        timestamptz,
    topic_id        text        not null default '',
    record_offset   bigint      not null default 0,
    received_at     timestamptz not null default now(),
    started_seen_at timestamptz,
    last_alive_at   timestamptz,
    removed_at      timestamptz,
    first_at        timestamptz not null default now(),
    updated_at      timestamptz not null default now(),
    primary key (host, process)
) with (fillfactor = 70);
-- Hosts of Nova whose events a bridge sent, with the host of that bridge's relay.
create table stumble_durable.bridged_hosts (
    host            text        not null,
    relay_host      text        not null,
    last_at         timestamptz not null default now(),
    primary key (host, relay_host)
);
create index producers_changed on stumble_durable.producers (updated_at);

-- Problems, alerts, subscriptions --------------------------------------------------------------------
-- Counts of a problem, and its actions, hosts and projects, are not stored: queries take them from the failures.
-- last_new_failure_at: when the last failure happened that no correction moved to the problem, null without one.

create table stumble_durable.problems (
    fingerprint     text        primary key,
    state           text        not null default 'OPEN' check (state in ('OPEN', 'RESOLVED', 'REGRESSED')),
    exception       text,
    blame           text,
    reason          text,
    first_at        timestamptz not null,
    last_at         timestamptz not null,
    last_new_failure_at timestamptz,
    resolved_at     timestamptz,
    regressed_at    timestamptz,
    muted_until     timestamptz,
    note            text,
    updated_at      timestamptz not null default now()
);
create index problems_recent on stumble_durable.problems (last_at desc, fingerprint);

-- One alert is a state of one rule and one problem. first_occurred_at: when the first failure or outcome happened that
-- it is about; last_payload: some fields of the last one.
create table stumble_durable.alerts (
    rule            text        not null,
    problem         text        not null,
    state           text        not null check (state in ('FIRING', 'RESOLVED')),
    severity        text        not null,
    description     text        not null,
    labels          jsonb       not null,
    last_payload    jsonb       not null,
    first_occurred_at timestamptz not null,
    starts_at       timestamptz not null,
    last_at         timestamptz not null,
    ends_at         timestamptz,
    quiet_seconds   int         not null,
    failures        bigint      not null,
    changed_at      timestamptz not null,
    posted_at       timestamptz,
    primary key (rule, problem)
);
create index alerts_live on stumble_durable.alerts (state, last_at);

-- Receivers of failures, outcomes and alerts over HTTP. rules and severities (patterns): of which alerts; empty is all.
-- secrets: encrypted with a key that the database does not have.
create table stumble_durable.subscriptions (
    id              uuid        primary key,
    url             text        not null,
    body            text        not null check (body in ('standard', 'alertmanager')),
    kinds           text[]      not null,
    match           jsonb       not null default '{}',
    rules           text[]      not null default '{}',
    severities      text[]      not null default '{}',
    secrets         text[]      not null,
    created_at      timestamptz not null default now(),
    disabled_at     timestamptz,
    disabled_reason text
);

-- One message to one subscriber: its id is the same at every attempt. alert: what a change of an alert says;
-- request_key is then the alert's own id, so that its end never overtakes its beginning.
create table stumble_durable.deliveries (
    subscription_id uuid        not null references stumble_durable.subscriptions on delete cascade,
    message_id      uuid        not null,
    publication_id  bigint,
    request_key     uuid,
    alert           jsonb,
    sequence        bigint      generated always as identity,
    attempts        int         not null default 0,
    next_at         timestamptz not null default now(),
    delivered_at    timestamptz,
    given_up_at     timestamptz,
    last_status     int,
    last_error      text,
    created_at      timestamptz not null default now(),
    primary key (subscription_id, message_id)
);
-- Of each subscriber what is due first, and what waits behind a message of the same request or alert.
create index deliveries_due on stumble_durable.deliveries (subscription_id, next_at, sequence)
    where delivered_at is null and given_up_at is null;
create index deliveries_behind on stumble_durable.deliveries (subscription_id, request_key, sequence)
    where delivered_at is null and given_up_at is null;
create index deliveries_log on stumble_durable.deliveries (subscription_id, sequence desc);
create index deliveries_alerts on stumble_durable.deliveries (message_id) where alert is not null;
create index deliveries_age on stumble_durable.deliveries using brin (created_at) with (autosummarize = on);

-- Vacuum ---------------------------------------------------------------------------------------------
-- Tables whose rows change often are vacuumed often and in small portions; the default waits for a fifth of a table.
alter table stumble_derived.fact_sets
    set (autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.05);
alter table stumble_derived.requests
    set (autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.05);
alter table stumble_derived.failures set (autovacuum_vacuum_scale_factor = 0.05);
alter table stumble_durable.revisions set (autovacuum_vacuum_scale_factor = 0.05);
alter table stumble_durable.counters set (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000);
alter table stumble_durable.offsets set (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000);
alter table stumble_durable.partition_states
    set (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000);
