"""The relay: one daemon a host that delivers what the outboxes hold to Kafka.

It only reads the folders of processes and unlinks whole segments there. What it writes itself is in ``relay/`` of the
outbox directory: its lock, its cursors, the events that the broker rejected and the damaged records.

Start reading at ``build``. Imports ``outbox``, ``runtime``, ``settings``, ``wire``.
"""

from stumble.relay.build import build_relay
from stumble.relay.relay import Relay
from stumble.relay.singleton import AlreadyRunning

__all__ = ["AlreadyRunning", "Relay", "build_relay"]
