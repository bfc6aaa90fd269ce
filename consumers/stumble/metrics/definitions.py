"""Every metric that the consumers export, in one list: name, kind, labels and what it says.

`role` is who serves it: the store's counters are served by one role only, or their sum would be served twice.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["counter", "gauge", "histogram"]
Role = Literal["store", "projector", "alerter"]

#: Values of `exception` beyond these are folded into `other`.
MAX_EXCEPTIONS = 200
OTHER = "other"
#: The value of `host` where hosts are not told apart.
ALL_HOSTS = "all"
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
REQUEST_SECONDS = (0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0)


@dataclass(frozen=True, slots=True)
class Metric:
    """One family. Counters are named without `_total`, which the exposition adds.

    `values`: those of its one label that a process knows beforehand. They are there from the start, at zero, so that
    the first of anything is an increase too.
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
        """What a value is measured in, by the end of its name; empty for plain numbers of things."""
        return unit_of(self.name)


def unit_of(name: str) -> str:
    """Return the unit that a metric's name tells."""
    if name.endswith("_timestamp_seconds"):
        return "seconds since 1970"
    return next((word for word in ("seconds", "bytes") if name.endswith(f"_{word}")), "")


REQUESTS = Metric(
    "store",
    "stumble_action_requests",
    "counter",
    "Requests that entered an outcome; one that changes its outcome enters twice and is withdrawn once.",
    ("action", "outcome"),
)
REQUESTS_WITHDRAWN = Metric(
    "store",
    "stumble_action_requests_withdrawn",
    "counter",
    "Requests that left an outcome again, because later news corrected it.",
    ("action", "outcome"),
)
REQUESTS_OPEN = Metric(
    "store", "stumble_action_requests_open", "gauge", "Requests in flight; stalled ones are counted apart.", ("action",)
)
REQUESTS_STALLED = Metric(
    "store",
    "stumble_action_requests_stalled",
    "gauge",
    "Requests of which there was no news for longer than their deadline, or whose host is silent.",
    ("action",),
)
FAILURES = Metric(
    "store",
    "stumble_action_failures",
    "counter",
    "Failures that became known.",
    ("action", "blame"),
)
FAILURES_WITHDRAWN = Metric(
    "store",
    "stumble_action_failures_withdrawn",
    "counter",
    "Failures that later news merged with others or took back.",
    ("action", "blame"),
)
EXCEPTIONS = Metric(
    "store",
    "stumble_action_failure_exceptions",
    "counter",
    f"Failures that became known, by exception class: the first {MAX_EXCEPTIONS} classes, then `{OTHER}`.",
    ("exception",),
)
EXCEPTIONS_SEEN = Metric(
    "store", "stumble_action_failure_exception_classes", "gauge", "Exception classes seen, folded ones among them."
)
EXCEPTIONS_FOLDED = Metric(
    "store",
    "stumble_action_failure_exceptions_folded",
    "gauge",
    f"1 when there are more than {MAX_EXCEPTIONS} exception classes and some are counted as `{OTHER}`.",
)
EXCEPTIONS_UNKNOWN = Metric(
    "store",
    "stumble_action_failure_exceptions_unknown",
    "gauge",
    "Exception classes seen that the taxonomy says nothing of: `stumble schema taxonomy --unknown` names them.",
)
LATE = Metric("store", "stumble_late_events", "counter", "Events older than the retention of requests: kept, no more.")
SIGHTINGS = Metric(
    "store",
    "stumble_sightings",
    "gauge",
    "Failures seen without their instance: waiting (UNJOINED), joined, or given up (EXPIRED).",
    ("state",),
)
OUTBOX_EVENTS = Metric(
    "store",
    "stumble_outbox_backlog_events",
    "gauge",
    "Events that wait in a host's outboxes, as it said last.",
    ("host",),
)
OUTBOX_OLDEST = Metric(
    "store",
    "stumble_outbox_oldest_unsent_timestamp_seconds",
    "gauge",
    "Time of the oldest event that a host has not sent, as it said last.",
    ("host",),
)
OUTBOX_REFUSED = Metric(
    "store", "stumble_outbox_refused_events", "gauge", "Events that a host's full outboxes refused.", ("host",)
)
OUTBOX_REPORTED = Metric(
    "store",
    "stumble_outbox_reported_timestamp_seconds",
    "gauge",
    "When a host's relay last said how its outboxes are.",
    ("host",),
)
SILENT_HOSTS = Metric(
    "store",
    "stumble_silent_hosts",
    "gauge",
    "Hosts whose relay has said nothing for more than ten minutes, though it did within the last day.",
)
READ_UNTIL = Metric(
    "store",
    "stumble_store_read_until_timestamp_seconds",
    "gauge",
    "Kafka's time of the last record that the store took in, by partition.",
    ("partition",),
)

PROJECTOR_EVENTS = Metric("projector", "stumble_projector_events", "counter", "Events stored.")
PROJECTOR_DUPLICATES = Metric(
    "projector", "stumble_projector_duplicates", "counter", "Events that were known and changed nothing."
)
PROJECTOR_BATCHES = Metric("projector", "stumble_projector_batches", "counter", "Transactions committed.")
PROJECTOR_BATCH_SECONDS = Metric(
    "projector", "stumble_projector_batch_seconds", "histogram", "Time of one transaction.", buckets=SECONDS
)
PROJECTOR_BAD = Metric(
    "projector",
    "stumble_projector_bad_records",
    "counter",
    "Records sent to the dead letter topic, by the stage that refused them.",
    ("stage",),
    values=("decode", "model", "derive", "store"),
)
DEAD_LETTERS = Metric(
    "projector",
    "stumble_dead_letters_records",
    "gauge",
    "Records that lie in the dead letter topic, sent again or not; every projector tells the same number.",
)
PROJECTOR_RETRIES = Metric(
    "projector", "stumble_projector_retries", "counter", "Transactions tried again, by cause.", ("cause",)
)
PROJECTOR_FENCED = Metric(
    "projector", "stumble_projector_fenced", "counter", "Times that another projector had moved a partition."
)
PROJECTOR_LAG = Metric(
    "projector",
    "stumble_projector_lag_seconds",
    "gauge",
    "How far behind the topic a partition is: age of its last stored record, 0 when nothing waits.",
    ("partition",),
)
PROJECTOR_BACKLOG = Metric(
    "projector", "stumble_projector_backlog_records", "gauge", "Records of a partition not yet stored.", ("partition",)
)
PROJECTOR_ASSIGNED = Metric(
    "projector", "stumble_projector_assigned_partitions", "gauge", "Partitions that this projector reads."
)
PROJECTOR_BLOCKED = Metric(
    "projector", "stumble_projector_blocked_partitions", "gauge", "Partitions that stand still; the log says why."
)
PROJECTOR_PAUSED = Metric(
    "projector", "stumble_projector_paused", "gauge", "1 while reading pauses because the store is away."
)
PROJECTOR_DECISIONS = Metric(
    "projector",
    "stumble_projector_decisions",
    "counter",
    "Requests that time and silence decided upon: past their deadline, on a silent host, interrupted by a restart.",
    ("cause",),
    values=("deadline", "silence", "restart", "heard"),
)
PROJECTOR_KNOWN_UNTIL = Metric(
    "projector",
    "stumble_projector_known_until_timestamp_seconds",
    "gauge",
    "Everything that happened before is known in a partition, as far as it waits for no silent host; 0: not known.",
    ("partition",),
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
    "From the emitting of an event to its row; the last event of each partition in each transaction.",
    buckets=SECONDS,
)
REQUEST_DURATION = Metric(
    "projector",
    "stumble_action_request_duration_seconds",
    "histogram",
    "From the start of a request to its outcome, as their events tell.",
    ("action", "outcome"),
    REQUEST_SECONDS,
)

ALERTER_ACTIVE = Metric("alerter", "stumble_alerter_active", "gauge", "1 in the alerter that holds the lease.")
ALERTER_PUBLISHED = Metric(
    "alerter",
    "stumble_alerter_published",
    "counter",
    "Records that the broker has, by kind.",
    ("kind",),
    values=("failure", "outcome"),
)
ALERTER_BACKLOG = Metric(
    "alerter", "stumble_alerter_backlog_records", "gauge", "Publications that wait to be delivered."
)
ALERTER_LAG = Metric(
    "alerter", "stumble_alerter_lag_seconds", "gauge", "Age of the oldest publication that waits, 0 without any."
)
ALERTER_PROGRESS = Metric(
    "alerter",
    "stumble_alerter_last_progress_timestamp_seconds",
    "gauge",
    "When this alerter last delivered something, or had nothing to deliver, or stood by.",
)
RULES_SOUND = Metric(
    "alerter",
    "stumble_alert_rules_sound",
    "gauge",
    "1 while the rules of the file hold; 0 while it has a mistake and the rules from before hold on.",
)
ALERTS_FIRING = Metric(
    "alerter",
    "stumble_alerts_firing",
    "gauge",
    "Alerts of stumble's own rules that fire.",
    ("severity",),
    values=("info", "warning", "critical"),
)
ALERTMANAGER_POSTS = Metric(
    "alerter",
    "stumble_alertmanager_posts",
    "counter",
    "Times that a replica of Alertmanager was told of alerts: it took them, or it failed.",
    ("result",),
    values=("taken", "failed"),
)
WEBHOOK_TRIES = Metric(
    "alerter",
    "stumble_webhook_tries",
    "counter",
    "Tries to deliver a message to a subscriber: delivered, put off until the next try, or given up.",
    ("result",),
    values=("delivered", "put_off", "given_up"),
)
WEBHOOK_SECONDS = Metric(
    "alerter", "stumble_webhook_try_seconds", "histogram", "Time of one try to deliver a message.", buckets=SECONDS
)
WEBHOOK_BACKLOG = Metric(
    "alerter", "stumble_webhook_backlog_messages", "gauge", "Messages that wait for a subscriber to take them."
)
WEBHOOK_LAG = Metric(
    "alerter", "stumble_webhook_lag_seconds", "gauge", "Age of the oldest message that waits, 0 without any."
)

ALL: tuple[Metric, ...] = tuple(value for value in list(globals().values()) if isinstance(value, Metric))
