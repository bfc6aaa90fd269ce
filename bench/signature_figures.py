"""The cost of signed records: relay and projector with keys, compared with the same work without, in turn."""

from __future__ import annotations

import tempfile
from pathlib import Path

from bench.projector_figures import project, topics
from bench.relay_figures import deliver
from bench.report import Report
from bench.stack import Stack
from stumble.signatures.signing import create_signing_key
from stumble.signatures.verification import key_file_line


def measure(report: Report, stack: Stack, *, runs: int, count: int) -> None:
    """Measure the CPU time per event that signing adds to a relay, and verifying to a projector with its database."""
    relay, projector = [], []
    for run in range(runs):
        with tempfile.TemporaryDirectory(prefix="stumble-bench-") as name:
            keys = _key_settings(Path(name))
            plain = _cpu_us(stack, f"plain{run}-", count, {})
            signed = _cpu_us(stack, f"signed{run}-", count, keys)
        relay.append((plain[0], signed[0]))
        projector.append((plain[1], signed[1]))
    for what, cpu in (("relay_signing", relay), ("projector_verifying", projector)):
        report.add(f"{what}_us_per_event", [after - before for before, after in cpu])
        report.add(f"{what}_cpu_ratio", [after / before for before, after in cpu])


def _key_settings(folder: Path) -> dict[str, str]:
    created = create_signing_key(folder)
    public = folder / "keys.toml"
    public.write_text(f"[keys]\n{key_file_line(created.key_id, created.public_key, ['*'])}\n", encoding="utf-8")
    return {
        "STUMBLE_KAFKA__SIGNING_KEY_FILE": str(created.path),
        "STUMBLE_KAFKA__PUBLIC_KEYS_FILE": str(public),
    }


def _cpu_us(stack: Stack, prefix: str, count: int, keys: dict[str, str]) -> tuple[float, float]:
    """Send and store the events; return the CPU time per event of the relay, and of projector and PostgreSQL."""
    topics(stack, prefix)
    sent = deliver(stack, prefix, count, keys)
    url = stack.database()
    try:
        stored = project(stack, url, prefix, count, keys)
    finally:
        stack.drop(url)
    return sent.cpu_us_per_event, 1e6 * stored["all_cpu"] / count
