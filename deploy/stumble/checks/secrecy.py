"""Remove the secrets of the configuration from findings, which may quote a client library."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import unquote

from stumble.checks.model import CheckContext, CheckResult
from stumble.wire.masking import MASK, mask_secrets

__all__ = ["Secrets"]

_SECRET_OPTION = re.compile(r"password|secret|key\.pem|jaas|token|oauthbearer\.config|key\.password", re.IGNORECASE)
_SHORTEST = 4  # anything shorter occurs in ordinary words


@dataclass(frozen=True, slots=True)
class Secrets:
    """The values that must not be shown."""

    values: tuple[str, ...]

    @classmethod
    def of(cls, scope: CheckContext) -> Secrets:
        """Collect the secrets of the settings and of the transports."""
        kafka = scope.settings.kafka
        urls = (scope.database, kafka.schema_registry_url or "", kafka.bootstrap_servers, scope.settings.api_url)
        result = {value for url in urls for value in _of_url(url)}
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
            text = text.replace(value, MASK)
        return mask_secrets(text)


def _of_options(options: Mapping[str, Any]) -> Iterator[str]:
    return (str(value) for name, value in options.items() if _SECRET_OPTION.search(name))


def _of_url(url: str) -> Iterator[str]:
    # A password may contain "/" and "@", though a URL may not.
    password = url.partition("://")[2].rpartition("@")[0].partition(":")[2]
    yield from (password, unquote(password))
    # A URL of oslo.messaging may name several hosts, each with a user and a password.
    for match in re.finditer(r"//?[^:/@\s]*:([^@/\s]+)@|,[^:/@,\s]*:([^@/,\s]+)@", url):
        raw = match[1] or match[2]
        yield raw
        yield unquote(raw)
    for match in re.finditer(r"\bpassword=('[^']*'|[^\s&]+)", url):
        yield match[1].strip("'")
        yield unquote(match[1].strip("'"))
