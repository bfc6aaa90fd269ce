"""Each dashboard query returns data for a running fleet, and alerts fire and clear."""

import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
import time
import uuid
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from stumble.local.postgres import LocalPostgres
from tests.support.prometheus import LocalPrometheus, require_prometheus
from tests.support.services import ROOT, cli_environment

GRAFANA = ROOT / "deploy" / "grafana"


def test_grafana_files_are_current():
    pytest.importorskip("grafana_foundation_sdk")
    spec = importlib.util.spec_from_file_location("generate", GRAFANA / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    generated = dict(module.files())
    existing = {str(path.relative_to(GRAFANA)) for path in GRAFANA.rglob("*") if path.suffix in {".json", ".yml"}}
    assert generated.keys() == existing, "run: python deploy/grafana/generate.py"
    for name, text in generated.items():
        assert (GRAFANA / name).read_text() == text, f"{name}: run python deploy/grafana/generate.py"


def panels():
    for path in sorted((GRAFANA / "dashboards").glob("*.json")):
        for panel in json.loads(path.read_text())["panels"]:
            for target in panel["targets"]:
                yield panel["title"], target["expr"]


def test_only_the_missing_metrics_alert_fires_without_data():
    groups = yaml.safe_load((GRAFANA / "provisioning" / "alerting" / "rules.yml").read_text())["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    assert {rule["noDataState"] for rule in rules} == {"OK"}
    assert [rule["title"] for rule in rules if rule["execErrState"] == "Alerting"] == ["StumbleMetricsMissing"]


def test_grafana_alerts_use_existing_contact_points():
    folder = GRAFANA / "provisioning" / "alerting"
    points = yaml.safe_load((folder / "contact-points.yml").read_text())["contactPoints"]
    groups = yaml.safe_load((folder / "rules.yml").read_text())["groups"]
    receivers = {rule["notification_settings"]["receiver"] for group in groups for rule in group["rules"]}
    assert receivers == {point["name"] for point in points}


@pytest.fixture(scope="module")
def fleet(tmp_path_factory, kafka):
    """A complete stumble with a simulated fleet; yields its process, its metrics addresses and its database server.

    It has its own database server: a process that is stopped in a transaction delays all alerters of the server.
    """
    require_prometheus()
    state, prefix = tmp_path_factory.mktemp("fleet"), f"m{uuid.uuid4().hex[:8]}."
    database = LocalPostgres(tmp_path_factory.mktemp("fleet-database"), fsync=False)
    environment = cli_environment(
        STUMBLE_STATE_DIR=str(state),
        STUMBLE_KAFKA__BOOTSTRAP_SERVERS=kafka,
        STUMBLE_KAFKA__TOPIC_PREFIX=prefix,
        STUMBLE_PROJECTOR_GROUP=f"{prefix}projector",
    )
    command = [sys.executable, "-m", "stumble.cli", "run", "--no-follow", "--rate", "30", "--seed", "7"]
    try:
        environment["STUMBLE_DATABASE_URL"] = database.start()
        with (state / "out").open("wb") as out:
            process = subprocess.Popen(command, env=environment, stdout=out, stderr=out)
        try:
            yield process, wait_for_ports(state, process), database
        finally:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(120)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                raise
    finally:
        database.stop()


def wait_for_ports(state, process):
    deadline = time.monotonic() + 120
    while not (state / "env").exists():
        assert process.poll() is None, (state / "out").read_text()
        assert time.monotonic() < deadline, (state / "out").read_text()
        time.sleep(0.2)
    ports = json.loads((state / "ports.json").read_text())
    return [f"127.0.0.1:{ports[name]}" for name in ("api", "projector", "alerter", "relay")]


def until(check, seconds=120):
    deadline = time.monotonic() + seconds
    while not (value := check()):
        assert time.monotonic() < deadline, "condition not met in time"
        time.sleep(0.5)
    return value


def with_short_windows(expression):
    """Shorten the windows of an expression, so that the test does not take an hour."""
    expression = expression.replace("$__rate_interval", "20s").replace("$action", ".*")
    return re.sub(r"\[(5m|1h)\]", "[20s]", expression)


@contextmanager
def stopped(process):
    """Stop a process and its children with SIGSTOP, the parent first because it would restart the children."""
    children: list[int] = []
    try:
        os.kill(process.pid, signal.SIGSTOP)
        children += map(int, Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split())
        assert children
        for child in children:
            os.kill(child, signal.SIGSTOP)
        yield
    finally:
        for pid in [*children, process.pid]:
            os.kill(pid, signal.SIGCONT)


@pytest.mark.xdist_group("run")  # two that start at the same time could choose the same ports
def test_every_query_returns_data_and_alerts_fire_and_clear(fleet, tmp_path):
    process, targets, database = fleet
    groups = yaml.safe_load((ROOT / "deploy" / "prometheus" / "stumble.rules.yml").read_text())["groups"]
    causes = {rule["alert"] for group in groups for rule in group["rules"] if "cause" in rule.get("labels", {})}
    assert causes
    rules = tmp_path / "rules.yml"
    text = (ROOT / "deploy" / "prometheus" / "stumble.rules.yml").read_text()
    # Windows and waits of seconds instead of minutes; the rest of the rules is unchanged.
    text = re.sub(r"\[\d+[mhd]\]", "[10s]", text)
    rules.write_text(re.sub(r"for: \d+m", "for: 1s", text).replace("interval: 30s", "interval: 1s"))
    server = LocalPrometheus(tmp_path, targets, rules=rules)
    try:
        server.start()
        until(lambda: len(server.query("up == 1")) == len(targets))
        until(lambda: server.query('sum(stumble_action_requests_total{outcome="FAILED"}) > 5'))
        until(lambda: server.query("stumble:failed_ratio:rate1h"))
        until(lambda: all(server.query(with_short_windows(query)) for _, query in panels()))
        # A service that was slow while all processes started may still count as unavailable.
        until(lambda: not server.firing() & causes)
        with stopped(process):
            until(lambda: "StumbleMetricsMissing" in server.firing())
        until(lambda: "StumbleMetricsMissing" not in server.firing())
        database.stop()
        until(lambda: {"StumbleStoreUnavailable", "StumbleApiStoreUnavailable"} <= server.firing())
        assert "StumbleMetricsMissing" not in server.firing()
        database.start()
        until(lambda: "StumbleStoreUnavailable" not in server.firing())
    finally:
        server.stop()
