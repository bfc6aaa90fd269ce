"""The notification driver that nova.conf enables with ``driver = stumble``.

oslo.messaging creates one instance for each of Nova's notifiers (two with ``notification_format = both``) while the
service reads its configuration, before it forks worker processes. So the driver opens, starts and creates nothing;
that happens with the first event, in the process that emits it.
"""

from __future__ import annotations

import logging
from typing import Any

from oslo_messaging.notify import notifier

from stumble.nova import options, tap
from stumble.nova.producer import Producer

LOG = logging.getLogger(__name__)

_producers: dict[options.NovaOptions, Producer] = {}


class StumbleDriver(notifier.Driver):  # type: ignore[misc]
    """Passes every notification to the producer of this process, and does not change it."""

    def __init__(self, conf: Any, topics: Any, transport: Any) -> None:
        """Use this process's producer, and install the tap if it is enabled and not installed yet. Never raises."""
        super().__init__(conf, topics, transport)
        self._producer: Producer | None = None
        try:
            self._producer = _producer(conf)
        except Exception as error:  # noqa: BLE001 - the service must start even if it cannot emit
            LOG.warning("stumble is disabled in this service: %s. Correct [stumble] in its configuration.", error)

    def notify(self, ctxt: Any, msg: Any, priority: Any, retry: Any) -> None:
        """Emit the events of a notification. Never raises, never waits, and changes neither message nor context."""
        del retry
        if self._producer is None:
            return
        try:
            self._producer.emit_notification(ctxt, msg, priority)
        except Exception as error:  # noqa: BLE001 - the caller is Nova
            LOG.debug("stumble lost a notification: %s", error)


def _producer(conf: Any) -> Producer:
    settings = options.read_options(conf)
    result = _producers.get(settings)
    if result is None:
        result = _producers[settings] = Producer(settings, conf)
        if settings.tap:
            result.emitter.describe(tap=tap.install(result))
    return result
