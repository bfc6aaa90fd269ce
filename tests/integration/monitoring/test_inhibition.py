"""Alertmanager with the shipped configuration: one alert names the cause, and what follows from it is inhibited."""

import re

import pytest
import yaml

from tests.support.alertmanager import LocalAlertmanager, require_alertmanager
from tests.support.projection import eventually
from tests.support.services import ROOT

RULES = yaml.safe_load((ROOT / "deploy" / "prometheus" / "stumble.rules.yml").read_text())
ALERTS = {rule["alert"]: rule for group in RULES["groups"] for rule in group["rules"] if "alert" in rule}
#: Labels that the series of these alerts bring along.
SERIES = {
    "StumbleDependencyUnavailable": {"dependency": "registry"},
    "StumbleMetricsMissing": {"role": "projector"},
}
#: Each cause, and the alerts that follow from it. All others are notified even then: they tell of lost data, of
#: Nova's failures, or of faults that have nothing to do with the cause.
FOLLOWING = {
    "StumbleKafkaUnavailable": {
        "StumbleMostHostsSilent",
        "StumbleDependencyUnavailable",
        "StumblePartitionBlocked",
        "StumbleProjectorLagHigh",
        "StumbleNoPartitionRead",
        "StumbleProgressStopped",
        "StumbleAlerterLagHigh",
        "StumbleHostSilent",
        "StumbleRelayPaused",
        "StumbleOutboxBacklogOld",
        "StumbleStoreCatchingUp",
    },
    "StumbleStoreUnavailable": {
        "StumbleMostHostsSilent",
        "StumbleProjectorLagHigh",
        "StumbleNoPartitionRead",
        "StumbleProgressStopped",
        "StumbleApiStoreUnavailable",
        "StumbleAlerterLagHigh",
        "StumbleAlerterInactive",
        "StumbleWebhookLagHigh",
        "StumbleHostSilent",
        "StumbleOutboxBacklogOld",
        "StumbleStoreCatchingUp",
    },
    "StumbleMetricsMissing": {
        "StumbleMostHostsSilent",
        "StumbleProjectorLagHigh",
        "StumbleHostSilent",
        "StumbleOutboxBacklogOld",
        "StumbleStoreCatchingUp",
    },
    "StumblePartitionBlocked": {"StumbleProjectorLagHigh", "StumbleProgressStopped", "StumbleStoreCatchingUp"},
    "StumbleDependencyUnavailable": {
        "StumblePartitionBlocked",
        "StumbleProjectorLagHigh",
        "StumbleProgressStopped",
        "StumbleStoreCatchingUp",
    },
    "StumbleMostHostsSilent": {"StumbleHostSilent", "StumbleOutboxBacklogOld"},
    "StumbleHostSilent": {"StumbleOutboxBacklogOld"},
}


@pytest.fixture(scope="module")
def alertmanager(tmp_path_factory):
    require_alertmanager()
    config = (ROOT / "deploy" / "alertmanager" / "alertmanager.yml").read_text()
    server = LocalAlertmanager(tmp_path_factory.mktemp("alertmanager"), config=config)
    try:
        server.start()
        yield server
    finally:
        server.stop()


def alert_labels(name, **more):
    """Return the labels of an alert as Prometheus sends it."""
    series = SERIES.get(name, {})
    own = {key: re.sub(r"{{ \$labels\.(\w+) }}", lambda part: series[part[1]], text) for key, text in labels_of(name)}
    return {"alertname": name, "host": "cmp-1", **series, **own, **more}


def labels_of(name):
    return ALERTS[name]["labels"].items()


def inhibited(server, cloud):
    """Return the names of the inhibited alerts of a cloud."""
    alerts = [alert for alert in server.alerts() if alert["labels"].get("cloud") == cloud]
    assert alerts
    return {alert["labels"]["alertname"] for alert in alerts if alert["status"]["inhibitedBy"]}


def wait_until_inhibited(server, cloud, names):
    """Wait until alerts are inhibited: Alertmanager's inhibitor learns of a posted cause only after the answer."""
    eventually(lambda: names - inhibited(server, cloud), seconds=30)


@pytest.mark.parametrize("cause", FOLLOWING)
def test_a_cause_inhibits_exactly_what_follows_from_it(alertmanager, cause):
    alertmanager.post([alert_labels(name, cloud=cause) for name in ALERTS if name not in FOLLOWING])
    assert inhibited(alertmanager, cause) == set()
    alertmanager.post([alert_labels(name, cloud=cause) for name in (cause, *FOLLOWING[cause])])
    wait_until_inhibited(alertmanager, cause, FOLLOWING[cause])
    assert inhibited(alertmanager, cause) == FOLLOWING[cause]


def test_a_cause_inhibits_nothing_of_another_cloud_or_host(alertmanager):
    alertmanager.post(
        [
            alert_labels("StumbleKafkaUnavailable", cloud="east"),
            alert_labels("StumbleHostSilent", cloud="east"),
            alert_labels("StumbleHostSilent", cloud="west"),
            alert_labels("StumbleOutboxBacklogOld", cloud="west"),
            alert_labels("StumbleOutboxBacklogOld", cloud="west", host="cmp-2"),
        ]
    )
    wait_until_inhibited(alertmanager, "east", {"StumbleHostSilent"})
    wait_until_inhibited(alertmanager, "west", {"StumbleOutboxBacklogOld"})
    west = [one for one in alertmanager.alerts() if one["labels"].get("cloud") == "west"]
    inhibited_ones = [
        (one["labels"]["alertname"], one["labels"]["host"]) for one in west if one["status"]["inhibitedBy"]
    ]
    assert inhibited_ones == [("StumbleOutboxBacklogOld", "cmp-1")]


def test_every_cause_and_every_dependency_has_its_counterpart():
    causes = {alert_labels(name)["cause"] for name in ALERTS if "cause" in ALERTS[name]["labels"]}
    depended = {part for name in ALERTS for part in ALERTS[name]["labels"].get("depends_on", "").split()}
    assert depended == causes | {"dead_letter_topic"}
    assert set(FOLLOWING) == {name for name in ALERTS if "cause" in ALERTS[name]["labels"]}


def test_causes_fire_until_their_consequences_have_ended():
    assert {name for name in ALERTS if "keep_firing_for" in ALERTS[name]} == set(FOLLOWING) - {"StumbleHostSilent"}
