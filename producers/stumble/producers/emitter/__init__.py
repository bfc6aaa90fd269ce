"""The library: any Python service tells of its actions through an ``Emitter``."""

from stumble.producers.emitter.emitter import Emitter
from stumble.producers.emitter.failure import describe, failure_token
from stumble.producers.emitter.scopes import Action, Step

__all__ = ["Action", "Emitter", "Step", "describe", "failure_token"]
