-- Dead letters that were sent again, by their place in the topic of this id. A letter's record lies in Kafka; this is
-- only who was taken up, so that a repeat or an interrupted run goes on where it was.
create table stumble_kept.redriven (
    topic_id        text        not null,
    kafka_partition int         not null,
    kafka_offset    bigint      not null,
    times           int         not null default 1,
    last_at         timestamptz not null default now(),
    primary key (topic_id, kafka_partition, kafka_offset)
);
