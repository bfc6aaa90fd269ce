"""The library: any Python service tells of its actions through an ``Emitter``."""

from stumble.emitter.emitter import Emitter
from stumble.emitter.failure import describe, failure_token
from stumble.emitter.scopes import Action, Step

__all__ = ["Action", "Emitter", "Step", "describe", "failure_token"]
