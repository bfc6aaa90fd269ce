"""Write Grafana's dashboards and alert rules: ``python deploy/grafana/generate.py``. A test checks them.

The provisioning files name one data source, the Prometheus that scrapes stumble, by the uid ``stumble``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from grafana_foundation_sdk.builders import bargauge, dashboard, prometheus, stat, table, timeseries
from grafana_foundation_sdk.builders.common import ReduceDataOptions, StackingConfig
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.common import BigValueGraphMode, GraphGradientMode, StackingMode
from grafana_foundation_sdk.models.dashboard import DashboardCursorSync, DataSourceRef
from grafana_foundation_sdk.models.dashboard import Panel as PanelModel
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

FOLDER = Path(__file__).parent
SOURCE = DataSourceRef(type_val="prometheus", uid="stumble")
ENDED = 'outcome=~"SUCCEEDED|RECOVERED|FAILED"'
ACTION = 'action=~"$action"'
Panel = Builder[PanelModel]


def net(counter: str, matchers: str, by: str, window: str = "$__rate_interval") -> str:
    """Return the rate of a counter less the rate of its corrections."""
    entered = f"sum by ({by}) (rate({counter}_total{{{matchers}}}[{window}]))"
    left = f"sum by ({by}) (rate({counter}_withdrawn_total{{{matchers}}}[{window}]))"
    return f"{entered} - {left}"


def query(expression: str, legend: str = "", *, instant: bool = False) -> prometheus.Dataquery:
    """Return one query of a panel."""
    made = prometheus.Dataquery().expr(expression).legend_format(legend or "__auto").datasource(SOURCE).ref_id("A")
    return made.instant().format(PromQueryFormat.TABLE) if instant else made.range()


def lines(title: str, expression: str, legend: str, unit: str, text: str, *, stacked: bool = False) -> Panel:
    """Return a graph over time; a rate without traffic is drawn as a gap, never as an error."""
    panel = timeseries.Panel().title(title).description(text).unit(unit).min(0).datasource(SOURCE)
    panel = panel.with_target(query(expression, legend)).fill_opacity(20 if stacked else 8).span(12).height(8)
    panel = panel.gradient_mode(GraphGradientMode.OPACITY)
    return panel.stacking(StackingConfig().mode(StackingMode.NORMAL).group("A")) if stacked else panel


def number(title: str, expression: str, unit: str, text: str) -> Panel:
    """Return one number with a small graph behind it."""
    panel = stat.Panel().title(title).description(text).unit(unit).datasource(SOURCE).no_value("0")
    panel = panel.reduce_options(ReduceDataOptions().calcs(["lastNotNull"]))
    return panel.with_target(query(expression)).graph_mode(BigValueGraphMode.AREA).span(4).height(4)


def ranking(title: str, expression: str, legend: str, unit: str, text: str) -> Panel:
    """Return bars, longest first."""
    panel = bargauge.Panel().title(title).description(text).unit(unit).datasource(SOURCE).span(12).height(8)
    target = prometheus.Dataquery().expr(expression).legend_format(legend).datasource(SOURCE).instant().ref_id("A")
    return panel.reduce_options(ReduceDataOptions().calcs(["lastNotNull"])).with_target(target)


def rows(title: str, expression: str, text: str) -> Panel:
    """Return a table of the newest values."""
    panel = table.Panel().title(title).description(text).datasource(SOURCE).span(24).height(8)
    return panel.with_target(query(expression, instant=True))


def board(uid: str, title: str, panels: list[Panel], *, actions: bool = False) -> dashboard.Dashboard:
    """Return one dashboard; ``actions`` adds a variable that selects actions."""
    made = dashboard.Dashboard(title).uid(uid).tags(["stumble", "openstack", "nova"]).readonly().refresh("30s")
    made = made.time("now-6h", "now").tooltip(DashboardCursorSync.CROSSHAIR)
    if actions:
        choice = dashboard.QueryVariable("action").label("Action").datasource(SOURCE).multi(True).include_all(True)
        made = made.with_variable(choice.query("label_values(stumble_action_requests_total, action)").all_value(".*"))
    for panel in panels:
        made = made.with_panel(panel)
    return made


def fleet() -> dashboard.Dashboard:
    """Show what fails in the fleet now, how often, and who can fix it."""
    failed = 'sum(increase(stumble_action_requests_total{outcome="FAILED"}[1h]))'
    failed += ' - sum(increase(stumble_action_requests_withdrawn_total{outcome="FAILED"}[1h]))'
    return board(
        "stumble-fleet",
        "stumble: Fleet",
        [
            number("Failed in an hour", failed, "none", "Requests that ended FAILED."),
            number("Failed share, 1 h", "stumble:failed_ratio:rate1h", "percentunit", "Of the requests that ended."),
            number("In flight", "sum(stumble_action_requests_open)", "none", "Requests without an outcome yet."),
            number("Stalled", "sum(stumble_action_requests_stalled)", "none", "Requests whose outcome is STALLED."),
            number("Silent hosts", "max(stumble_silent_hosts)", "none", "Hosts whose relay sent no report for 10 min."),
            number("Alerts", "sum(stumble_alerts_firing)", "none", "Firing alerts of stumble's own rules."),
            lines(
                "Requests by outcome",
                net("stumble_action_requests", "", "outcome"),
                "{{outcome}}",
                "reqps",
                "Entries into outcomes less corrections.",
                stacked=True,
            ),
            lines(
                "Failures by blame",
                net("stumble_action_failures", "", "blame"),
                "{{blame}}",
                "ops",
                "Failures of attempts, also of requests that recovered.",
                stacked=True,
            ),
            lines(
                "Failed share by action",
                "stumble:requests_failed:rate5m / (stumble:requests_ended:rate5m > 0)",
                "{{action}}",
                "percentunit",
                "A gap means that nobody requested the action.",
            ),
            ranking(
                "Exceptions in an hour",
                "topk(10, sum by (exception) (increase(stumble_action_failure_exceptions_total[1h])) > 0)",
                "{{exception}}",
                "none",
                "The ten most frequent classes.",
            ),
        ],
    )


def action() -> dashboard.Dashboard:
    """Show one action: outcomes, blame, durations."""
    quantile = (
        "histogram_quantile({q}, sum by (le, action) (rate(stumble_action_request_duration_seconds_bucket{{{m}}}[5m])))"
    )
    return board(
        "stumble-action",
        "stumble: Action",
        [
            lines(
                "Outcomes",
                net("stumble_action_requests", ACTION, "action, outcome"),
                "{{action}} {{outcome}}",
                "reqps",
                "Entries into outcomes less corrections.",
            ),
            lines(
                "Failures by blame",
                net("stumble_action_failures", ACTION, "action, blame"),
                "{{action}} {{blame}}",
                "ops",
                "By who can fix them.",
            ),
            lines(
                "Time to an outcome, median",
                quantile.format(q="0.5", m=ACTION),
                "{{action}}",
                "s",
                "From the start of a request to its outcome.",
            ),
            lines(
                "Time to an outcome, 95th percentile",
                quantile.format(q="0.95", m=ACTION),
                "{{action}}",
                "s",
                "From the start of a request to its outcome.",
            ),
            rows(
                "Outcomes so far",
                f"sum by (action, outcome) (stumble_action_requests_total{{{ACTION}}}) > 0",
                "Entries since the store was created.",
            ),
        ],
        actions=True,
    )


def problem() -> dashboard.Dashboard:
    """Show what goes wrong, by exception."""
    return board(
        "stumble-problem",
        "stumble: Problem",
        [
            lines(
                "Failures by exception",
                "topk(10, sum by (exception) (rate(stumble_action_failure_exceptions_total[$__rate_interval])))",
                "{{exception}}",
                "ops",
                "The ten most frequent classes.",
                stacked=True,
            ),
            number(
                "Exception classes seen",
                "sum(stumble_action_failure_exception_classes)",
                "none",
                "Classes beyond the cap are counted as other.",
            ),
            number(
                "Cap of classes reached",
                "max(stumble_action_failure_exceptions_limited)",
                "none",
                "1: some classes are counted as other.",
            ),
            rows(
                "Failures by action and blame so far",
                "sum by (action, blame) (stumble_action_failures_total) > 0",
                "Since the store was created.",
            ),
            rows(
                "Failures by exception so far",
                "sort_desc(sum by (exception) (stumble_action_failure_exceptions_total))",
                "Since the store was created.",
            ),
        ],
    )


def pipeline() -> dashboard.Dashboard:
    """Show the health of stumble itself: use, saturation and errors of each part."""
    panels = [*_storing(), *_passing_on(), *_bridging(), *_answering()]
    return board("stumble-pipeline", "stumble: Pipeline", panels)


def _storing() -> list[Panel]:
    """Return the projector's panels."""
    batch = "histogram_quantile(0.95, sum by (le) (rate(stumble_projector_batch_seconds_bucket[5m])))"
    end_to_end = "histogram_quantile(0.95, sum by (le) (rate(stumble_pipeline_lag_seconds_bucket[5m])))"
    return [
        lines(
            "Lag behind the topic", "stumble_projector_lag_seconds", "partition {{partition}}", "s", "0: up to date."
        ),
        lines("From emit to row, 95th percentile", end_to_end, "", "s", "Through outbox, relay, Kafka and projector."),
        lines(
            "Events stored",
            "sum(rate(stumble_projector_events_total[$__rate_interval]))",
            "events",
            "ops",
            "By all projectors.",
        ),
        lines("Time of a transaction, 95th percentile", batch, "", "s", "One batch into PostgreSQL."),
        lines(
            "Backlog in Kafka",
            "sum(stumble_projector_backlog_records)",
            "records",
            "none",
            "Records that are not stored yet.",
        ),
        lines(
            "Bad records",
            "sum by (stage) (rate(stumble_projector_bad_records_total[$__rate_interval]))",
            "{{stage}}",
            "ops",
            "Records sent to the dead letter topic, by the stage that rejected them.",
        ),
        lines(
            "Services that answer projectors",
            "min by (dependency) (stumble_projector_dependency_up)",
            "{{dependency}}",
            "none",
            "1: every projector gets answers.",
        ),
        lines(
            "Stopped partitions",
            "sum(stumble_projector_blocked_partitions)",
            "partitions",
            "none",
            "Their records wait; `stumble offsets show` has the reason.",
        ),
        lines(
            "Used share of the topic's retention",
            "max(stumble_projector_lag_seconds) / (max(stumble_projector_topic_retention_seconds) > 0)",
            "share",
            "percentunit",
            "At 100 % Kafka deletes records that are not stored.",
        ),
        lines(
            "Sightings",
            "sum by (state) (stumble_sightings)",
            "{{state}}",
            "none",
            "Failures seen without their server; EXPIRED: no event named the server in time.",
        ),
        lines(
            "Events with a wrong time, or too late",
            "sum(rate(stumble_replaced_event_times_total[$__rate_interval]))"
            " + sum(rate(stumble_late_events_total[$__rate_interval]))",
            "events",
            "ops",
            "Their time cannot be true, or is before the retention of requests.",
        ),
        lines(
            "Retried transactions",
            "sum(rate(stumble_projector_retries_total[$__rate_interval])) or vector(0)",
            "transactions",
            "ops",
            "After a deadlock, a conflict or a lost connection.",
        ),
    ]


def _passing_on() -> list[Panel]:
    """Return the panels of the roles before and after the projector: outboxes, relays, alerter."""
    attempt = "histogram_quantile(0.95, sum by (le) (rate(stumble_webhook_attempt_seconds_bucket[5m])))"
    return [
        lines(
            "Backlog of hosts",
            "stumble_host_outbox_backlog_events",
            "{{host}}",
            "none",
            "Events that wait in outboxes.",
        ),
        lines(
            "Clocks of hosts",
            "topk(10, abs(stumble_host_clock_offset_seconds))",
            "{{host}}",
            "s",
            "By how much the clocks of the ten worst hosts differ from Kafka's.",
        ),
        lines(
            "Events sent by relays",
            "sum(rate(stumble_relay_sent_events_total[$__rate_interval]))",
            "events",
            "ops",
            "Events that Kafka acknowledged; only of relays that Prometheus scrapes.",
        ),
        lines(
            "Rejected events and damaged records of hosts in an hour",
            "sum(increase(stumble_host_relay_rejected_events_total[1h]))"
            " + sum(increase(stumble_host_relay_quarantined_records_total[1h]))",
            "events",
            "none",
            "They are missing in the store.",
        ),
        lines(
            "Relays that wait for Kafka",
            "sum(stumble_relay_delivery_paused)",
            "relays",
            "none",
            "Only of relays that Prometheus scrapes.",
        ),
        lines(
            "Delay of deliveries",
            '{__name__=~"stumble_(alerter|webhook)_lag_seconds"}',
            "{{__name__}}",
            "s",
            "Age of the oldest publication for the topics, and of the oldest message for a subscriber.",
        ),
        lines(
            "Posts to Alertmanager",
            "sum by (result) (rate(stumble_alertmanager_posts_total[$__rate_interval]))",
            "{{result}}",
            "ops",
            "Posts of alerts to each replica, by result.",
        ),
        lines(
            "Webhooks",
            "sum by (result) (rate(stumble_webhook_attempts_total[$__rate_interval]))",
            "{{result}}",
            "ops",
            "Attempts, by result.",
        ),
        lines("Time of a webhook, 95th percentile", attempt, "", "s", "One attempt, including the receiver's answer."),
    ]


def _bridging() -> list[Panel]:
    """Return the panels of the bridge; without a bridge they show 0."""
    return [
        lines(
            "Bridge: notifications read",
            "sum by (transport) (rate(stumble_bridge_notifications_total[$__rate_interval])) or vector(0)",
            "{{transport}}",
            "ops",
            "By transport.",
        ),
        lines(
            "Bridge: transports without a connection",
            "count(stumble_bridge_transport_connected == 0) or vector(0)",
            "transports",
            "none",
            "Their notifications wait in the queue of the bridge.",
        ),
        lines(
            "Bridge: notifications without an event",
            "sum by (reason) (rate(stumble_bridge_skipped_notifications_total[$__rate_interval])) or vector(0)",
            "{{reason}}",
            "ops",
            "not_an_action is usual; malformed, no_identity and no_instance mean that events are missing.",
        ),
        lines(
            "Bridge: notifications that the outbox refused",
            "sum(rate(stumble_bridge_requeued_notifications_total[$__rate_interval])) or vector(0)",
            "notifications",
            "ops",
            "The outbox is full; they wait in the queue of the bridge.",
        ),
    ]


def _answering() -> list[Panel]:
    """Return the panels of API and web pages, and the versions of all processes."""
    answer = "histogram_quantile(0.95, sum by (le) (rate(stumble_api_request_seconds_bucket[5m])))"
    return [
        lines(
            "HTTP requests",
            "sum by (status) (rate(stumble_api_requests_total[$__rate_interval]))",
            "{{status}}",
            "reqps",
            "To API and web pages.",
        ),
        lines("Time of an answer, 95th percentile", answer, "", "s", "Of API and web pages, without streams."),
        lines(
            "API reads the store",
            "min by (instance) (stumble_api_store_up)",
            "{{instance}}",
            "none",
            "0: the store's counters are missing in Prometheus.",
        ),
        rows(
            "Versions",
            "count by (instance, role, version, python) (stumble_build_info)",
            "Which version of stumble and of Python each process runs.",
        ),
    ]


def alert_rules() -> dict[str, Any]:
    """Return Prometheus' alerts for Grafana's own alerting; only StumbleMetricsMissing fires without data."""
    source = yaml.safe_load((FOLDER.parent / "prometheus" / "stumble.rules.yml").read_text())
    groups = [group for group in source["groups"] if any("alert" in rule for rule in group["rules"])]
    made = [
        {
            "orgId": 1,
            "name": group["name"],
            "folder": "stumble",
            "interval": "1m",
            "rules": [_rule(rule) for rule in group["rules"]],
        }
        for group in groups
    ]
    return {"apiVersion": 1, "groups": made}


def _rule(rule: dict[str, Any]) -> dict[str, Any]:
    source = {"type": "prometheus", "uid": "stumble"}
    model = {"refId": "A", "expr": rule["expr"], "instant": True, "datasource": source}
    data = {"refId": "A", "relativeTimeRange": {"from": 600, "to": 0}, "datasourceUid": "stumble", "model": model}
    last = {"refId": "B", "type": "reduce", "expression": "A", "reducer": "last"}
    # Prometheus' expressions give series only where the alert holds: every value fires.
    holds = {"refId": "C", "type": "math", "expression": "$B == $B"}
    steps = [{"refId": item["refId"], "datasourceUid": "__expr__", "model": item} for item in (last, holds)]
    name = str(rule["alert"])
    return {
        "uid": name.lower(),
        "title": name,
        "condition": "C",
        "data": [data, *steps],
        "noDataState": "OK",
        "execErrState": "Alerting" if name == "StumbleMetricsMissing" else "OK",
        "for": rule.get("for", "0s"),
        "keepFiringFor": rule.get("keep_firing_for", "0s"),
        # Without this the contact point below would receive no alerts.
        "notification_settings": {"receiver": "stumble"},
        "annotations": {
            key: text.replace("{{ $value", "{{ $values.B.Value") for key, text in rule["annotations"].items()
        },
        # Grafana reads $name in a label as a variable of the environment, and $$ as a dollar sign.
        "labels": {key: text.replace("$", "$$") for key, text in rule["labels"].items()},
    }


def provisioning() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield path and content of the files that Grafana reads when it starts."""
    source = {"name": "stumble", "uid": "stumble", "type": "prometheus", "access": "proxy"}
    source["url"] = "${STUMBLE_PROMETHEUS_URL}"
    yield "provisioning/datasources/stumble.yml", {"apiVersion": 1, "datasources": [source]}
    provider = {"name": "stumble", "folder": "stumble", "type": "file", "options": {"path": "${STUMBLE_DASHBOARDS}"}}
    yield "provisioning/dashboards/stumble.yml", {"apiVersion": 1, "providers": [provider]}
    yield "provisioning/alerting/rules.yml", alert_rules()
    receiver = {"uid": "stumble", "type": "webhook", "settings": {"url": "${STUMBLE_ALERT_WEBHOOK}"}}
    point = {"orgId": 1, "name": "stumble", "receivers": [receiver]}
    yield "provisioning/alerting/contact-points.yml", {"apiVersion": 1, "contactPoints": [point]}


def files() -> Iterator[tuple[str, str]]:
    """Yield path (below this folder) and text of everything that is generated."""
    for made in (fleet(), action(), problem(), pipeline()):
        text = JSONEncoder(sort_keys=True, indent=1).encode(made.build())
        yield f"dashboards/{json.loads(text)['uid']}.json", text + "\n"
    for path, content in provisioning():
        yield path, yaml.safe_dump(content, sort_keys=False, width=120)


if __name__ == "__main__":
    for name, text in files():
        (FOLDER / name).parent.mkdir(parents=True, exist_ok=True)
        (FOLDER / name).write_text(text)
        print(name)
