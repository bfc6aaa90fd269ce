"""The library for any Python service: its ``Emitter`` writes the events of actions into the outbox.

Standard library and fastavro only, since Nova's processes load it.

Start reading at ``emitter``. Imports ``outbox``, ``translate``, ``wire``.
"""

from stumble.emitter.emitter import Emitter
from stumble.emitter.failure import describe_failure, failure_token
from stumble.emitter.scopes import ActionScope, StepScope

__all__ = ["ActionScope", "Emitter", "StepScope", "describe_failure", "failure_token"]
