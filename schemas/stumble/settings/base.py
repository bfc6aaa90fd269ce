"""Settings of every role: environment (``STUMBLE_…``, ``__`` for nesting), a secrets directory, a TOML file.

The secrets directory holds one file per secret, named like the setting without its prefix: ``database_url``,
``kafka__options__sasl.password``. No error text contains a secret.
"""

from __future__ import annotations

import base64
import os
import tomllib
from pathlib import Path
from typing import Any

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    NestedSecretsSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from stumble.runtime.error_texts import first_mistake, sentence_about
from stumble.settings.clock import ClockSettings
from stumble.settings.kafka import KafkaSettings
from stumble.wire.errors import StumbleError

CONFIG_VARIABLE = "STUMBLE_CONFIG"
#: The first that is set names the secrets directory, before ``secrets_dir`` in the file; systemd sets the second for
#: units with ``LoadCredential``.
SECRETS_VARIABLES = ("STUMBLE_SECRETS_DIR", "CREDENTIALS_DIRECTORY")
_KEY_BYTES = 32


class SettingsError(StumbleError):
    """A setting is wrong; the text names it, its source and what it should be."""


class Settings(BaseSettings):
    """Settings of a role. Precedence: environment, secrets directory, the file that ``STUMBLE_CONFIG`` names."""

    model_config = SettingsConfigDict(
        env_prefix="STUMBLE_", env_nested_delimiter="__", extra="ignore", hide_input_in_errors=True
    )

    kafka: KafkaSettings = Field(default_factory=KafkaSettings)
    clock: ClockSettings = Field(default_factory=ClockSettings)
    database_url: SecretStr = Field(
        SecretStr("postgresql://127.0.0.1:5432/stumble"),
        description="URL of PostgreSQL, in libpq's format.",
    )
    subscription_keys: SecretStr | None = Field(
        None,
        description="Keys that encrypt the secrets of webhook subscriptions, the newest first, separated by white "
        "space; `stumble subscriptions new-key` prints one.",
    )
    secrets_dir: Path | None = Field(
        None,
        description="Directory with one file per secret. The units of systemd get these files as credentials instead; "
        "in the file, it makes commands at a shell find the secrets of the units.",
    )
    outbox_dir: Path = Field(
        Path("/var/lib/stumble/outbox"), description="Directory for the events of this host's producers."
    )
    state_dir: Path = Field(
        Path("/var/lib/stumble"),
        description="Directory for what a process must remember: the bridge's untranslated notifications, the record "
        "that the projector decodes.",
    )
    api_host: str = Field("127.0.0.1", description="Address that the API binds to.")
    api_port: int = Field(8686, ge=0, le=65535, description="Port of the API.")
    api_url: str = Field("http://127.0.0.1:8686", description="URL of the API for the command line.")
    metrics_host: str = Field("127.0.0.1", description="Address that a role's own metrics bind to.")
    metrics_port: int | None = Field(None, ge=0, le=65535, description="Port of a role's own metrics; none by default.")
    metrics_hosts: bool = Field(True, description="Export outbox metrics per host; false: one host, `all`.")
    cell: str | None = Field(None, description="Nova cell of this host.")
    region: str | None = Field(None, description="Keystone region of this host.")
    cloud: str | None = Field(None, description="Name of the cloud.")
    host: str = Field(default_factory=lambda: os.uname().nodename, description="Name of this host.")
    log_level: str = Field(
        "INFO", pattern="^(?i:debug|info|warning|error)$", description="DEBUG, INFO, WARNING or ERROR."
    )
    log_format: str = Field("console", pattern="^(console|json)$", description="console (readable text) or json.")

    @field_validator("subscription_keys")
    @classmethod
    def _are_keys(cls, value: SecretStr | None) -> SecretStr | None:
        for number, key in enumerate(value.get_secret_value().split() if value else (), start=1):
            try:
                is_key = len(base64.b64decode(key, altchars=b"-_", validate=True)) == _KEY_BYTES
            except ValueError:
                is_key = False
            if not is_key:
                raise ValueError(f"key {number} is not a key as `stumble subscriptions new-key` prints it")
        return value

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - pydantic's signature
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Read the environment first, then the secrets directory and the TOML file, if they are configured."""
        sources: tuple[PydanticBaseSettingsSource, ...] = (init_settings, env_settings)
        if folder := secrets_folder():
            sources += (
                NestedSecretsSettingsSource(
                    file_secret_settings,
                    secrets_dir=folder,
                    secrets_dir_missing="error",
                    secrets_prefix="",
                    secrets_nested_delimiter="__",
                ),
            )
        if path := os.environ.get(CONFIG_VARIABLE):
            sources += (TomlConfigSettingsSource(settings_cls, Path(path)),)
        return sources


class TableSettings(BaseSettings):
    """Settings of one role: the environment, then the table in ``STUMBLE_CONFIG``'s file that its prefix names.

    ``STUMBLE_ALERTS_RULES`` is ``rules`` in ``[alerts]``. Raises ``SettingsError``, whose text is one sentence.
    """

    model_config = SettingsConfigDict(extra="forbid", hide_input_in_errors=True)

    def __init__(self, **given: Any) -> None:
        try:
            super().__init__(**given)
        except ValidationError as error:
            name, reason = first_mistake(error, type(self).model_fields)
            variable = f"{self.model_config['env_prefix']}{name.partition('.')[0].upper()}"
            subject = f"The setting {variable} ({name} in [{self.table()}])"
            raise SettingsError(sentence_about(subject, reason)) from None
        except (ValueError, OSError) as error:
            raise SettingsError(f"The settings cannot be read: {error}") from None

    @classmethod
    def table(cls) -> str:
        """Return the name of this class's table in the file."""
        return str(cls.model_config["env_prefix"]).removeprefix("STUMBLE_").rstrip("_").lower()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - pydantic's signature
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Read the environment first, then the table."""
        path = os.environ.get(CONFIG_VARIABLE)
        if not path:
            return init_settings, env_settings
        given = tomllib.loads(Path(path).read_text(encoding="utf-8")).get(cls.table(), {})
        return init_settings, env_settings, InitSettingsSource(settings_cls, given)


def secrets_folder() -> Path | None:
    """Return the secrets directory (one file per secret), or None if none is configured.

    One that only the file names is left out where this user may not read it: the file is for all users of the host.
    """
    named = next((os.environ[name] for name in SECRETS_VARIABLES if os.environ.get(name)), None)
    if named:
        return Path(named)
    folder = _folder_in_file()
    return folder if folder is not None and os.access(folder, os.R_OK | os.X_OK) else None


def unreadable_secrets_folder() -> Path | None:
    """Return the secrets directory that the file names, if this user may not read it or it does not exist."""
    folder = _folder_in_file()
    return folder if folder is not None and secrets_folder() is None else None


def _folder_in_file() -> Path | None:
    path = os.environ.get(CONFIG_VARIABLE)
    if not path:
        return None
    folder = tomllib.loads(Path(path).read_text(encoding="utf-8")).get("secrets_dir")
    return Path(folder) if isinstance(folder, str) and folder else None


def load_settings(**overrides: object) -> Settings:
    """Read the settings; ``overrides`` (a command's own options) win, and None among them means not given.

    Raises ``SettingsError``, whose text is one sentence.
    """
    path = os.environ.get(CONFIG_VARIABLE)
    if path and not Path(path).is_file():
        raise SettingsError(f"{CONFIG_VARIABLE} names {path}, which is not a file: correct it or unset it.")
    given = {name: value for name, value in overrides.items() if value is not None}
    try:
        return Settings(**given)  # type: ignore[arg-type]  # pydantic checks them
    except ValidationError as error:
        name, reason = first_mistake(error)
        variable = f"STUMBLE_{name.replace('.', '__').upper()}"
        raise SettingsError(sentence_about(f"The setting {variable}", reason)) from None
    except (ValueError, OSError) as error:  # invalid TOML, invalid JSON in a variable, an unreadable secret
        raise SettingsError(f"The settings cannot be read: {error}") from None
