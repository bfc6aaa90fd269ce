"""Builds an alerter from its parts. Nothing starts before `run`."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from stumble.alerts.alerter import Alerter
from stumble.alerts.delivery import TopicPublisher
from stumble.alerts.pusher import Pusher
from stumble.alerts.receivers.webhooks import Webhooks
from stumble.alerts.secret_cipher import SecretCipher
from stumble.alerts.sender import WebhookSender
from stumble.metrics.process import ProcessMetrics
from stumble.store.connect import require_database_url

if TYPE_CHECKING:
    from stumble.alerts.lease_worker import LeaseWorker
    from stumble.alerts.settings import AlertSettings
    from stumble.settings.base import Settings

_END_SECONDS = 10.0


@dataclass(slots=True)
class AlerterService:
    """The threads of an alerter, each with a lease of its own: an unavailable receiver does not delay the others."""

    alerter: Alerter
    others: Sequence[LeaseWorker]
    metrics: ProcessMetrics
    stopping: threading.Event

    def run(self) -> None:
        """Work until `stopping` is set."""
        workers = (self.alerter, *self.others)
        for worker in workers:
            worker.start()
        self.stopping.wait()
        for worker in workers:
            worker.join(_END_SECONDS)

    def live(self) -> tuple[bool, str]:
        """Return whether every thread makes progress; else the first that does not."""
        return next(
            (answer for answer in (worker.live() for worker in self.others) if not answer[0]), self.alerter.live()
        )

    def ready(self) -> tuple[bool, str]:
        """Return whether the store, the broker and the receivers answer; else the first worker that waits."""
        return next(
            (answer for answer in (worker.ready() for worker in self.others) if not answer[0]), self.alerter.ready()
        )


def build_alerter(settings: Settings, own: AlertSettings, stopping: threading.Event) -> AlerterService:
    """Return an alerter of `settings`; raises `StoreError` for an invalid database URL, `RulesError` for the rules."""
    url = settings.database_url.get_secret_value()
    require_database_url(url)
    metrics = ProcessMetrics("alerter")
    alerter = Alerter(url, TopicPublisher(settings.kafka), metrics, stopping)
    webhooks = Webhooks(own, metrics, SecretCipher.of(settings.subscription_keys))
    others = [Pusher(url, own, metrics, stopping), WebhookSender(url, webhooks, metrics, stopping)]
    return AlerterService(alerter, others, metrics, stopping)
