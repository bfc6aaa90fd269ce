"""The relay: one daemon per host, which delivers the events in the outboxes to Kafka.

In the folders of processes it only reads, and unlinks whole segments. It writes to ``relay/`` in the outbox directory:
its lock, its cursors, rejected events, and damaged bytes.

Start reading at ``build``. Imports ``outbox``, ``runtime``, ``settings``, ``signatures``, ``wire``.
"""

from stumble.relay.build import build_relay
from stumble.relay.relay import Relay
from stumble.relay.singleton import AlreadyRunning

__all__ = ["AlreadyRunning", "Relay", "build_relay"]
