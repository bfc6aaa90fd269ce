"""Remove the secrets of the configuration from findings, which may quote a client library."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import unquote

from stumble.checks.model import CheckContext, CheckResult

__all__ = ["Secrets"]

_SECRET_OPTION = re.compile(r"password|secret|key\.pem|jaas|token|oauthbearer\.config|key\.password", re.IGNORECASE)
_SHORTEST = 4  # anything shorter occurs in ordinary words
_MASK = "***"


@dataclass(frozen=True, slots=True)
class Secrets:
    """The values that must not be shown."""

    values: tuple[str, ...]

    @classmethod
    def of(cls, scope: CheckContext) -> Secrets:
        """Collect the secrets of the settings and of the transports."""
        kafka = scope.settings.kafka
        result = {*_of_url(scope.database), *_of_url(kafka.schema_registry_url or "")}
        for options in (kafka.options, kafka.producer_options, kafka.consumer_options):
            result.update(_of_options(options))
        if kafka.schema_registry_password:
            result.add(kafka.schema_registry_password.get_secret_value())
        if scope.settings.subscription_keys:
            result.update(scope.settings.subscription_keys.get_secret_value().split())
        for transport in scope.transports:
            result.update([*_of_url(transport.url.get_secret_value()), *_of_options(transport.options)])
        return cls(tuple(sorted((value for value in result if len(value) >= _SHORTEST), key=len, reverse=True)))

    def masked(self, finding: CheckResult) -> CheckResult:
        """Return a finding with ``***`` in place of each secret."""
        mask = self._mask
        return replace(finding, subject=mask(finding.subject), says=mask(finding.says), todo=mask(finding.todo))

    def _mask(self, text: str) -> str:
        for value in self.values:
            text = text.replace(value, _MASK)
        return text


def _of_options(options: Mapping[str, Any]) -> Iterator[str]:
    return (str(value) for name, value in options.items() if _SECRET_OPTION.search(name))


def _of_url(url: str) -> Iterator[str]:
    # A URL of oslo.messaging may name several hosts, each with a user and a password.
    for match in re.finditer(r"//?[^:/@\s]*:([^@/\s]+)@|,[^:/@,\s]*:([^@/,\s]+)@", url):
        raw = match[1] or match[2]
        yield raw
        yield unquote(raw)
    for match in re.finditer(r"\bpassword=('[^']*'|[^\s&]+)", url):
        yield match[1].strip("'")
        yield unquote(match[1].strip("'"))
