"""The library for any Python service: an ``Emitter`` writes the events of its actions into the outbox.

Standard library and fastavro only, since Nova's processes load it.

Start reading at ``emitter``. Imports ``outbox``, ``translate``, ``wire``.
"""

from stumble.emitter.emitter import Emitter
from stumble.emitter.failure import describe, failure_token
from stumble.emitter.scopes import Action, Step

__all__ = ["Action", "Emitter", "Step", "describe", "failure_token"]
