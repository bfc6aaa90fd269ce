-- What retention takes out is counted, so that counters can be held against what is stored.
alter table stumble_derived.problem_counts add column expired bigint not null default 0;

-- Decisions are looked up by instance when its requests are derived from nothing.
create index decisions_instance on stumble_kept.decisions (instance_uuid);

-- What had no news for long is found without reading the whole table, and updates stay within their page.
create index fact_sets_age on stumble_derived.fact_sets using brin (updated_at) with (autosummarize = on);
create index publications_age on stumble_kept.publications using brin (created_at) with (autosummarize = on);

-- Rows that change often are cleaned up often and in small portions; the default waits for a fifth of the table.
alter table stumble_derived.fact_sets set (autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.05);
alter table stumble_derived.requests set (autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.05);
alter table stumble_derived.failures set (autovacuum_vacuum_scale_factor = 0.05);
alter table stumble_kept.revisions set (autovacuum_vacuum_scale_factor = 0.05);
alter table stumble_kept.counters set (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000);
alter table stumble_kept.offsets set (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000);
