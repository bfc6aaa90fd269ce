"""Every metric that the consumers export, in one list: name, kind, labels and help text.

`role` is the process that serves it. Only one role serves the store's counters, because a sum over processes would
count them twice.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["counter", "gauge", "histogram"]
Role = Literal["every process", "store", "projector", "alerter"]

#: Values of `exception` beyond these are counted as `other`.
MAX_EXCEPTIONS = 200
OTHER = "other"
#: Hosts beyond these, in the order in which they became known, are exported together as `other`.
MAX_HOSTS = 1_000
#: Counters that may fall when the store is restored have the number of the store's incarnation as their last label, so
#: that Prometheus takes a fall for new series, not for a restart from zero.
INCARNATION = "incarnation"
#: The value of `host` where hosts are not distinguished.
ALL_HOSTS = "all"
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
REQUEST_SECONDS = (0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0)


@dataclass(frozen=True, slots=True)
class Metric:
    """One family. Counters are named without `_total`, which the exposition adds.

    `values`: the values of its one label that are known in advance. Their series exist from the start, at zero, so
    that the first event is an increase, too.
    """

    role: Role
    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()
    values: tuple[str, ...] = ()

    @property
    def unit(self) -> str:
        """The unit of its values, by the end of its name; empty for plain numbers."""
        return unit_of(self.name)


def unit_of(name: str) -> str:
    """Return the unit by the end of a metric's name."""
    if name.endswith("_timestamp_seconds"):
        return "seconds since 1970"
    return next((unit for unit in ("seconds", "bytes") if name.endswith(f"_{unit}")), "")


BUILD_INFO = Metric(
    "every process",
    "stumble_build_info",
    "gauge",
    "Always 1; the labels name the version of stumble and of Python, and the role of the process.",
    ("version", "python", "role"),
)

REQUESTS = Metric(
    "store",
    "stumble_action_requests",
    "counter",
    "Requests that reached an outcome; one that changes its outcome is counted twice and withdrawn once.",
    ("action", "outcome", INCARNATION),
)
REQUESTS_WITHDRAWN = Metric(
    "store",
    "stumble_action_requests_withdrawn",
    "counter",
    "Requests that left an outcome because later events corrected it.",
    ("action", "outcome", INCARNATION),
)
REQUESTS_OPEN = Metric(
    "store",
    "stumble_action_requests_open",
    "gauge",
    "Requests in progress; stalled ones are counted separately.",
    ("action",),
)
REQUESTS_STALLED = Metric(
    "store",
    "stumble_action_requests_stalled",
    "gauge",
    "Requests without an event for longer than their deadline, or whose host is silent.",
    ("action",),
)
FAILURES = Metric(
    "store",
    "stumble_action_failures",
    "counter",
    "Failures that became known.",
    ("action", "blame", INCARNATION),
)
FAILURES_WITHDRAWN = Metric(
    "store",
    "stumble_action_failures_withdrawn",
    "counter",
    "Failures that later events merged with others or retracted.",
    ("action", "blame", INCARNATION),
)
EXCEPTIONS = Metric(
    "store",
    "stumble_action_failure_exceptions",
    "counter",
    f"Failures that became known, by exception class: the first {MAX_EXCEPTIONS} classes, then `{OTHER}`.",
    ("exception", INCARNATION),
)
EXCEPTIONS_SEEN = Metric(
    "store",
    "stumble_action_failure_exception_classes",
    "gauge",
    "Exception classes seen, including those counted as `other`.",
)
EXCEPTIONS_LIMITED = Metric(
    "store",
    "stumble_action_failure_exceptions_limited",
    "gauge",
    f"1 when there are more than {MAX_EXCEPTIONS} exception classes and some are counted as `{OTHER}`.",
)
EXCEPTIONS_UNKNOWN = Metric(
    "store",
    "stumble_action_failure_exception_classes_unknown",
    "gauge",
    "Exception classes seen that the taxonomy does not hold: `stumble schema taxonomy --unknown` lists them.",
)
CATCHING_UP = Metric(
    "store",
    "stumble_store_catching_up",
    "gauge",
    "1 while the store's counters are left out: after a restore or failover, until the topic was read again up to the "
    "end that it had then.",
)
LATE_EVENTS = Metric(
    "store",
    "stumble_late_events",
    "counter",
    "Events older than the retention of requests: stored, but nothing is derived from them.",
    (INCARNATION,),
)
REPLACED_TIMES = Metric(
    "store",
    "stumble_replaced_event_times",
    "counter",
    "Events whose time cannot be true; the time at which Kafka received them replaces it.",
    (INCARNATION,),
)
SIGHTINGS = Metric(
    "store",
    "stumble_sightings",
    "gauge",
    "Failures seen without their instance: UNJOINED (waiting), JOINED, AMBIGUOUS (several instances fit) or EXPIRED.",
    ("state",),
)
HOST_BACKLOG_EVENTS = Metric(
    "store",
    "stumble_host_outbox_backlog_events",
    "gauge",
    "Events in a host's outboxes that are not sent yet, as last reported.",
    ("host",),
)
HOST_OLDEST_UNSENT = Metric(
    "store",
    "stumble_host_outbox_oldest_unsent_timestamp_seconds",
    "gauge",
    "Time of the oldest event that a host has not sent, as last reported.",
    ("host",),
)
HOST_REFUSED_EVENTS = Metric(
    "store",
    "stumble_host_outbox_refused_events",
    "gauge",
    "Events that a host's full outboxes refused, as last reported.",
    ("host",),
)
HOST_REJECTED_EVENTS = Metric(
    "store",
    "stumble_host_relay_rejected_events",
    "counter",
    "Events that a host's relay or the broker rejected since that relay started, as last reported.",
    ("host",),
)
HOST_QUARANTINED_RECORDS = Metric(
    "store",
    "stumble_host_relay_quarantined_records",
    "counter",
    "Damaged records that a host's relay moved to quarantine or dropped since it started, as last reported.",
    ("host",),
)
HOST_REPORTED = Metric(
    "store",
    "stumble_host_outbox_reported_timestamp_seconds",
    "gauge",
    "When a host's relay last reported the state of its outboxes, by Kafka's clock.",
    ("host",),
)
HOST_CLOCK_OFFSET = Metric(
    "store",
    "stumble_host_clock_offset_seconds",
    "gauge",
    "By how much a host's clock was ahead of Kafka's at its last report; negative also if the report was delayed.",
    ("host",),
)
HOSTS = Metric(
    "store",
    "stumble_hosts",
    "gauge",
    "Hosts that are known: from the reports of their relay, or from the events of a bridge.",
    ("source",),
    values=("relay", "bridge"),
)
HOSTS_LIMITED = Metric(
    "store",
    "stumble_hosts_limited",
    "gauge",
    f"1 when there are more than {MAX_HOSTS} hosts and some are exported as `{OTHER}`.",
)
SILENT_HOSTS = Metric(
    "store",
    "stumble_silent_hosts",
    "gauge",
    "Hosts whose relay has not reported for more than ten minutes, but did within the last day.",
)
LAST_RECORD = Metric(
    "store",
    "stumble_store_last_record_timestamp_seconds",
    "gauge",
    "Kafka's time of the last record stored, by partition.",
    ("partition",),
)

PROJECTOR_EVENTS = Metric("projector", "stumble_projector_events", "counter", "Events stored.")
PROJECTOR_DUPLICATES = Metric(
    "projector", "stumble_projector_duplicates", "counter", "Events that were stored already and changed nothing."
)
PROJECTOR_BATCHES = Metric("projector", "stumble_projector_batches", "counter", "Transactions committed.")
PROJECTOR_BATCH_SECONDS = Metric(
    "projector", "stumble_projector_batch_seconds", "histogram", "Time of one transaction.", buckets=SECONDS
)
PROJECTOR_BAD_RECORDS = Metric(
    "projector",
    "stumble_projector_bad_records",
    "counter",
    "Records sent to the dead letter topic, by the stage that rejected them.",
    ("stage",),
    values=("signature", "decode", "model", "derive", "store"),
)
PROJECTOR_SIGNATURE_REJECTED = Metric(
    "projector",
    "stumble_projector_signature_rejected",
    "counter",
    "Events and statuses rejected for their signature, by reason; the dead letter topic gets a sample of the events.",
    ("reason",),
    values=("unsigned", "damaged", "unknown_key", "expired_key", "invalid", "foreign_host"),
)
DEAD_LETTERS = Metric(
    "projector",
    "stumble_dead_letter_records",
    "gauge",
    "Records in the dead letter topic, sent again or not; every projector reports the same number.",
)
PROJECTOR_RETRIES = Metric(
    "projector", "stumble_projector_retries", "counter", "Transactions that were retried, by cause.", ("cause",)
)
PROJECTOR_FENCED = Metric(
    "projector",
    "stumble_projector_fenced",
    "counter",
    "Transactions given up because another projector had moved a partition's offset.",
)
PROJECTOR_LAG = Metric(
    "projector",
    "stumble_projector_lag_seconds",
    "gauge",
    "How far behind the topic a partition is: age of its last stored record; 0 when all records are stored.",
    ("partition",),
)
PROJECTOR_BACKLOG = Metric(
    "projector", "stumble_projector_backlog_records", "gauge", "Records of a partition not yet stored.", ("partition",)
)
PROJECTOR_ASSIGNED = Metric(
    "projector", "stumble_projector_assigned_partitions", "gauge", "Partitions that this projector reads."
)
PROJECTOR_BLOCKED = Metric(
    "projector", "stumble_projector_blocked_partitions", "gauge", "Partitions that are stopped; the log has the reason."
)
PROJECTOR_PAUSED = Metric(
    "projector", "stumble_projector_paused", "gauge", "1 while reading is paused because the store does not answer."
)
PROJECTOR_DEPENDENCY = Metric(
    "projector",
    "stumble_projector_dependency_up",
    "gauge",
    "1 while a service that the projector needs answers, 0 while it does not.",
    ("dependency",),
    values=("kafka", "store", "registry", "dead_letter_topic"),
)
PROJECTOR_DECISIONS = Metric(
    "projector",
    "stumble_projector_decisions",
    "counter",
    "Requests decided without an event: past their deadline, on a silent host, after a restart, or received again.",
    ("cause",),
    values=("deadline", "silence", "restart", "received_again"),
)
PROJECTOR_WATERMARK = Metric(
    "projector",
    "stumble_projector_watermark_timestamp_seconds",
    "gauge",
    "All events before this time are stored, by partition, except those of silent hosts; 0: unknown.",
    ("partition",),
)
TOPIC_RETENTION = Metric(
    "projector",
    "stumble_projector_topic_retention_seconds",
    "gauge",
    "How long Kafka keeps a record (retention.ms of the topic); 0 while it is not known.",
)
PROJECTOR_PROGRESS = Metric(
    "projector",
    "stumble_projector_last_progress_timestamp_seconds",
    "gauge",
    "When this projector last stored something or had nothing to store.",
)
PIPELINE_LAG = Metric(
    "projector",
    "stumble_pipeline_lag_seconds",
    "histogram",
    "From the emission of an event to its row; the last event of each partition in each transaction.",
    buckets=SECONDS,
)
REQUEST_DURATION = Metric(
    "projector",
    "stumble_action_request_duration_seconds",
    "histogram",
    "From the start of a request to its outcome, by the times of its events.",
    ("action", "outcome"),
    REQUEST_SECONDS,
)

ALERTER_ACTIVE = Metric("alerter", "stumble_alerter_active", "gauge", "1 in the alerter that holds the lease.")
ALERTER_PUBLISHED = Metric(
    "alerter",
    "stumble_alerter_published",
    "counter",
    "Records that the broker acknowledged, by kind.",
    ("kind",),
    values=("failure", "outcome"),
)
ALERTER_BACKLOG = Metric("alerter", "stumble_alerter_backlog_records", "gauge", "Publications not delivered yet.")
ALERTER_LAG = Metric(
    "alerter",
    "stumble_alerter_lag_seconds",
    "gauge",
    "Age of the oldest publication not delivered yet; 0 if there is none.",
)
ALERTER_PROGRESS = Metric(
    "alerter",
    "stumble_alerter_last_progress_timestamp_seconds",
    "gauge",
    "When this alerter last delivered something, had nothing to deliver, or was on standby.",
)
RULES_VALID = Metric(
    "alerter",
    "stumble_alert_rules_valid",
    "gauge",
    "1 while the rules file is valid; 0 while it has a mistake and the rules read before it stay in force.",
)
ALERTS_FIRING = Metric(
    "alerter",
    "stumble_alerts_firing",
    "gauge",
    "Firing alerts of stumble's own rules.",
    ("severity",),
    values=("info", "warning", "critical"),
)
ALERTMANAGER_POSTS = Metric(
    "alerter",
    "stumble_alertmanager_posts",
    "counter",
    "Posts of alerts to a replica of Alertmanager, by result.",
    ("result",),
    values=("accepted", "failed"),
)
WEBHOOK_ATTEMPTS = Metric(
    "alerter",
    "stumble_webhook_attempts",
    "counter",
    "Attempts to deliver a message to a subscriber: delivered, failed (tried again later) or given up.",
    ("result",),
    values=("delivered", "failed", "given_up"),
)
WEBHOOK_ATTEMPT_SECONDS = Metric(
    "alerter",
    "stumble_webhook_attempt_seconds",
    "histogram",
    "Time of one attempt to deliver a message.",
    buckets=SECONDS,
)
WEBHOOK_BACKLOG = Metric("alerter", "stumble_webhook_backlog_messages", "gauge", "Messages not delivered yet.")
WEBHOOK_LAG = Metric(
    "alerter",
    "stumble_webhook_lag_seconds",
    "gauge",
    "Age of the oldest message not delivered yet; 0 if there is none.",
)

ALL: tuple[Metric, ...] = tuple(value for value in list(globals().values()) if isinstance(value, Metric))
