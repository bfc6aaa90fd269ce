-- Up to which offset (exclusive) a person lets bad records go to the dead letter topic, however many they are.
create table stumble_kept.let_through (
    topic           text        not null,
    kafka_partition int         not null,
    topic_id        text        not null,
    until_offset    bigint      not null,
    given_at        timestamptz not null default now(),
    primary key (topic, kafka_partition)
);
