"""The notification driver that nova.conf switches on with ``driver = stumble``.

oslo.messaging makes one instance for each of Nova's notifiers (two with ``notification_format = both``) while the
service's configuration is read: before worker processes are forked, before anything runs. So nothing is opened,
started or created here; that happens with the first event, in the process that emits it.
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
    """Gives every notification to the producer of this process, and changes none of them."""

    def __init__(self, conf: Any, topics: Any, transport: Any) -> None:
        """Share this process's producer, and install the tap unless it is there or not wanted. Never raises."""
        super().__init__(conf, topics, transport)
        self._producer: Producer | None = None
        try:
            self._producer = _producer(conf)
        except Exception as error:  # noqa: BLE001 - a service must start without its events
            LOG.warning("stumble is off in this service: %s. Correct [stumble] in its configuration.", error)

    def notify(self, ctxt: Any, msg: Any, priority: Any, retry: Any) -> None:
        """Emit the events of a notification. Never raises, never waits; message and context stay as they are."""
        del retry
        if self._producer is None:
            return
        try:
            self._producer.emit_notification(ctxt, msg, priority)
        except Exception as error:  # noqa: BLE001 - the caller is Nova at work
            LOG.debug("stumble lost a notification: %s", error)


def _producer(conf: Any) -> Producer:
    settings = options.read(conf)
    result = _producers.get(settings)
    if result is None:
        result = _producers[settings] = Producer(settings, conf)
        if settings.tap:
            result.emitter.describe(tap=tap.install(result))
    return result
