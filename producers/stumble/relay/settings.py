"""Settings of the relay: whom it serves, and what it accepts (environment: ``STUMBLE_RELAY_…``; file: ``[relay]``).

The rights of a folder follow from its user, whom the kernel knows; every other property of a folder is the claim of the
process that writes to it.
"""

from __future__ import annotations

import pwd
from typing import Annotated

from pydantic import Field, field_validator
from pydantic_settings import NoDecode, SettingsConfigDict

from stumble.settings.base import TableSettings
from stumble.settings.types import Text

Texts = Annotated[tuple[Text, ...], NoDecode]


class RelaySettings(TableSettings):
    """The users that the relay serves, and the hosts that their events may name."""

    model_config = SettingsConfigDict(env_prefix="STUMBLE_RELAY_", extra="forbid", hide_input_in_errors=True)

    hosts: Texts = Field(
        (),
        description="Hosts that this machine's events may name, spelled as in Nova's option `host`; `*` in a name "
        "stands for any text. Default: the setting `host`.",
    )
    users: Texts = Field(
        (),
        description="Users (names or numbers) whose outboxes the relay serves. Default: root, the relay's own user and "
        "the owner of the outbox directory.",
    )
    bridge_users: Texts = Field(
        (),
        description="Users whose outboxes are those of a bridge: their events may name any host, and the relay marks "
        "them.",
    )

    @field_validator("hosts", "users", "bridge_users", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(item for item in value.replace(",", " ").split() if item) if isinstance(value, str) else value

    @field_validator("users", "bridge_users")
    @classmethod
    def _exist(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for name in value:
            try:
                uid_of(name)
            except KeyError:
                raise ValueError(f"this host has no user {name}: give the number of a user of a container") from None
        return value


def uid_of(user: str) -> int:
    """Return the number of a user, given as number or name. Raises ``KeyError`` if this host has no such user."""
    return int(user) if user.isdecimal() and user.isascii() else pwd.getpwnam(user).pw_uid
