"""Metrics as text, in the format that the scraper asks for: OpenMetrics with exemplars, else Prometheus' own.

Sources: https://prometheus.io/docs/specs/om/open_metrics_spec/ (an exemplar's labels have 128 characters at most).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, disable_created_metrics
from prometheus_client.exposition import choose_encoder

if TYPE_CHECKING:
    from prometheus_client.registry import Collector

_EXEMPLAR_CHARACTERS = 128

# Prometheus stores each `_created` sample as one more series, and nothing here uses them.
disable_created_metrics()  # type: ignore[no-untyped-call]


def exposition(accept: str | None, *collectors: Collector) -> tuple[bytes, str]:
    """Return the body with everything that the collectors (or registries) have, and its content type.

    `accept` is the scraper's `Accept` header. One body, because OpenMetrics ends with one `# EOF`.
    """
    registry = CollectorRegistry()
    for collector in collectors:
        registry.register(collector)
    try:
        encode, content_type = choose_encoder(accept or "")
    except (TypeError, ValueError):  # a version in the header that is none
        encode, content_type = choose_encoder("")
    return encode(registry), content_type


def exemplar(**labels: str | None) -> dict[str, str]:
    """Return as many of the labels, in their order, as an exemplar may have."""
    fitting: dict[str, str] = {}
    left = _EXEMPLAR_CHARACTERS
    for name, value in labels.items():
        if value and (length := len(name) + len(value)) <= left:
            fitting[name] = value
            left -= length
    return fitting
