"""The relay: one daemon a host that delivers what the outboxes hold to Kafka.

It only reads the process folders and unlinks whole segments there; what it writes itself lies in ``relay/`` of the
outbox directory: its lock, its cursors, what the broker refused for good and what was damaged.
"""

from stumble.relay.relay import Relay
from stumble.relay.singleton import AlreadyRunning

__all__ = ["AlreadyRunning", "Relay"]
