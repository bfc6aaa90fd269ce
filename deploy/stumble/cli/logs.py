"""The log of a role: one line per record on standard error, as text or JSON."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING

import structlog

from stumble.wire.masking import mask_secrets

if TYPE_CHECKING:
    from stumble.settings.base import Settings


def configure_logging(settings: Settings) -> None:
    """Write log records of `settings.log_level` and above to standard error, in `settings.log_format`.

    The code logs with the standard library; structlog only formats. Secrets in the texts are masked, also in those of
    libraries.
    """
    renderer: structlog.types.Processor = structlog.processors.JSONRenderer()
    if settings.log_format == "console":
        renderer = structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[
            structlog.stdlib.add_log_level,
            structlog.stdlib.add_logger_name,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            _mask_texts,
        ],
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
    )
    handler = logging.StreamHandler()
    handler.setFormatter(formatter)
    logging.basicConfig(level=settings.log_level.upper(), handlers=[handler])
    logging.getLogger("httpx").setLevel(logging.WARNING)  # it logs every request, and a webhook's URL is a secret


def _mask_texts(logger: object, method: str, record: structlog.types.EventDict) -> structlog.types.EventDict:
    del logger, method
    return {name: mask_secrets(value) if isinstance(value, str) else value for name, value in record.items()}
