"""What the commands of the consuming side share: settings, log, SIGTERM, the metrics port."""

from __future__ import annotations

import os
import signal
import threading
from typing import TYPE_CHECKING, Annotated

import typer

from stumble.cli.logs import configure_logging
from stumble.settings.base import CONFIG_VARIABLE, SettingsError, load_settings, unreadable_secrets_folder

if TYPE_CHECKING:
    from types import FrameType

    from stumble.settings.base import Settings

DatabaseOption = Annotated[
    str | None, typer.Option(help="PostgreSQL URL of the store.", envvar="STUMBLE_DATABASE_URL", show_default=False)
]
MetricsPortOption = Annotated[
    int | None,
    typer.Option(
        min=0,
        max=65535,
        help="Port of /metrics, /healthz and /readyz; 0 uses any free port. By default no port is opened.",
        envvar="STUMBLE_METRICS_PORT",
        show_default=False,
    ),
]


def settings_of(
    database_url: str | None = None, metrics_port: int | None = None, *, needs_database: bool = True
) -> Settings:
    """Read the settings, override them with a command's own options, and set up the log.

    Raises `SettingsError` where the URL of the database may be in a directory that this user may not read.
    """
    settings = load_settings(database_url=database_url, metrics_port=metrics_port)
    folder = unreadable_secrets_folder() if needs_database else None
    if folder is not None and "database_url" not in settings.model_fields_set:
        raise SettingsError(
            f"The secrets directory {folder} (secrets_dir in {os.environ[CONFIG_VARIABLE]}) cannot be read by this "
            "user: run the command as root, or set STUMBLE_DATABASE_URL."
        )
    configure_logging(settings)
    return settings


def stopping() -> threading.Event:
    """Return an event that SIGTERM and Ctrl-C set: the role ends between two batches."""
    stop = threading.Event()

    def on_signal(number: int, frame: FrameType | None) -> None:
        del number, frame
        stop.set()

    signal.signal(signal.SIGTERM, on_signal)
    signal.signal(signal.SIGINT, on_signal)
    return stop
