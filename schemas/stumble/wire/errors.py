"""Errors whose text is one sentence that a person can act on."""


class StumbleError(Exception):
    """Anything that goes wrong in a way that a person should read: ``str()`` is one clear sentence."""


class WireError(StumbleError):
    """A record's bytes can't be read as what its topic promises."""


class NotAvro(WireError):
    """The bytes carry neither framing, or don't decode: a bad record."""


class UnknownSchema(WireError):
    """The writer's schema is in neither this release nor the registry: a bad record."""


class RegistryUnavailable(WireError):
    """A schema id can't be resolved now: wait, the record may be good."""


class InvalidEvent(WireError):
    """The record decodes but breaks the model."""
