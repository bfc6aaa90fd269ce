"""Settings of alerting (environment: ``STUMBLE_ALERTS_…``; file: table ``[alerts]``)."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import Field, field_validator
from pydantic_settings import NoDecode, SettingsConfigDict

from stumble.settings.base import TableSettings

UrlList = Annotated[tuple[str, ...], NoDecode]
Networks = Annotated[tuple[IPv4Network | IPv6Network, ...], NoDecode]


def _split_list(value: object) -> object:
    return tuple(item for item in value.replace(",", " ").split() if item) if isinstance(value, str) else value


class AlertSettings(TableSettings):
    """The alert rules, and the receivers of alerts."""

    model_config = SettingsConfigDict(env_prefix="STUMBLE_ALERTS_")

    rules: Path | None = Field(None, description="TOML file of rules; without it the default rules apply.")
    alertmanagers: UrlList = Field((), description="Base URLs of all replicas of Alertmanager, separated by commas.")
    resend_seconds: float = Field(30, gt=0, description="Seconds after which a firing alert is posted again.")
    calm_seconds: float = Field(5, ge=0, description="Least seconds between two posts of one firing alert.")
    public_url: str = Field("http://127.0.0.1:8686", description="URL of the web pages, for links.")
    webhook_networks: Networks = Field(
        (),
        description="Networks that webhooks may use although they are not public (10.0.0.0/8,127.0.0.0/8).",
    )

    @field_validator("alertmanagers", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return _split_list(value)

    @field_validator("alertmanagers")
    @classmethod
    def _are_addresses(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for url in value:
            parts = urlsplit(url)
            if parts.scheme not in {"http", "https"} or not parts.hostname:
                raise ValueError("each must be the base URL of a replica, such as http://am1:9093")
        return value

    @field_validator("webhook_networks", mode="before")
    @classmethod
    def _split_networks(cls, value: object) -> object:
        items = _split_list(value)
        return tuple(ip_network(str(item)) for item in items) if isinstance(items, tuple) else value
