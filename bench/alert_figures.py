"""The time from `emit` of a failure to the answers of its receivers, through every role."""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path

from bench import jobs
from bench.relay_figures import role_settings
from bench.report import Report
from bench.roles import role
from bench.stack import PARTITIONS, Stack
from stumble.alerts import subscriptions
from stumble.alerts.secret_cipher import SecretCipher, new_key
from stumble.local.ports import free_port
from stumble.store.connect import connect

_TOPICS = {
    "instance-actions": PARTITIONS,
    "instance-action-producers": 1,
    "instance-actions.dlq": 1,
    "instance-action-failures": 1,
    "instance-action-outcomes": 1,
}


def measure(report: Report, stack: Stack, *, runs: int, count: int) -> None:
    """Measure the time from `emit` of a failure to the answers of its receivers, two failures per second."""
    ways: dict[str, list[list[float]]] = {"webhook": [], "alertmanager": []}
    for run in range(runs):
        prefix = f"alert{run}-"
        for name, partitions in _TOPICS.items():
            stack.topic(prefix + name, partitions)
        url = stack.database()
        with tempfile.TemporaryDirectory(prefix="stumble-bench-") as folder:
            found = _alerts(stack, prefix, url, Path(folder), count)
        stack.drop(url)
        for way, taken in ways.items():
            if len(found[way]) < count:
                raise RuntimeError(f"{count - len(found[way])} of {count} failures did not reach the {way}")
            taken.append(statistics.quantiles([1000 * one for one in found[way]], n=100))
    for way, taken in ways.items():
        report.add(f"alert_{way}_p50_ms", [cuts[49] for cuts in taken])
        report.add(f"alert_{way}_p99_ms", [cuts[98] for cuts in taken], "<= 300")


def _alerts(stack: Stack, prefix: str, url: str, place: Path, count: int) -> dict[str, list[float]]:
    port = free_port()
    key = new_key()
    settings = role_settings(stack, prefix, place / "outbox", place) | {
        "STUMBLE_DATABASE_URL": url,
        "STUMBLE_ALERTS_ALERTMANAGERS": f"http://127.0.0.1:{port}",
        "STUMBLE_SUBSCRIPTION_KEYS": key,
        "STUMBLE_ALERTS_WEBHOOK_NETWORKS": "127.0.0.0/8",
    }
    jobs.command("store", "migrate", **settings)
    with connect(url) as session:
        cipher, secret = SecretCipher([key]), subscriptions.new_secret()
        subscriptions.add(session, cipher, f"http://127.0.0.1:{port}/hook", secret=secret)
    with (
        role("relay", place / "relay.log", **settings),
        role("projector", place / "projector.log", **settings),
        role("alerter", place / "alerter.log", **settings),
    ):
        time.sleep(6)
        return jobs.ours("alert", str(place / "outbox"), str(port), str(count))
