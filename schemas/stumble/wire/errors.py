"""Errors whose text is one sentence that an operator can act on."""

from stumble.wire.masking import mask_secrets


class StumbleError(Exception):
    """Base of all errors that are shown to an operator: ``str()`` is one sentence, with secrets masked.

    The sentence often quotes a server, a client library or a setting.
    """

    def __str__(self) -> str:
        """Return the sentence."""
        return mask_secrets(super().__str__())


class WireError(StumbleError):
    """A record's bytes cannot be decoded to the record type of its topic."""


class NotAvro(WireError):
    """The bytes have neither framing or do not decode: a bad record."""


class UnknownSchema(WireError):
    """The writer's schema is in neither this release nor the registry: a bad record."""


class UnsupportedSchema(WireError):
    """A reader might not end with a foreign schema: its records are bad records. The text is the rest of a sentence."""


class RegistryUnavailable(WireError):
    """A schema id cannot be resolved now; the reader must wait, since the record may be valid."""


class InvalidEvent(WireError):
    """The record decodes but does not fit the model."""
