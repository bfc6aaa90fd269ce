"""Options of section ``[stumble]`` in nova.conf."""

from __future__ import annotations

from typing import Any, NamedTuple

from oslo_config import cfg

GROUP = "stumble"

OPTIONS = [
    cfg.StrOpt(
        "outbox_dir",
        default="/var/lib/stumble/outbox",
        help="Directory in which each service stores its events, in one folder per user and process, for the relay of "
        "this host (`stumble relay`). It must be on a local file system that the service may write to; the first "
        "event creates it.",
    ),
    cfg.StrOpt(
        "durability",
        default="process",
        choices=[
            ("process", "An accepted event survives a crash of the service."),
            ("power", "An accepted event survives a power failure: one disk sync per event, some milliseconds each."),
            ("memory", "Events are in memory and are lost when the host restarts."),
        ],
        help="Failures that an accepted event survives.",
    ),
    cfg.BoolOpt(
        "tap",
        default=True,
        help="Whether to observe Nova's records of instance actions, faults and migrations in each service. Nova sends "
        "no notification for some failures; without this option they are missed unless "
        "[notifications]/notification_format is `both`, and some even then.",
    ),
    cfg.BoolOpt(
        "tracebacks",
        default=True,
        help="Whether the tracebacks of exceptions leave this host with the events, for operators. Passwords, tokens "
        "and keys in them are masked; set this to false if no traceback may leave the host. Events then still contain "
        "exception class, module, function and message; Nova's log on the host has the traceback.",
    ),
    cfg.DictOpt(
        "labels",
        default={},
        help="Labels of this host, added to its events for grouping: `rack:r1,aggregate:gpu`.",
    ),
    cfg.StrOpt("cell", help="Name of this host's cell, added to its events."),
    cfg.StrOpt("region", help="Name of the Keystone region, added to the events."),
]


class NovaOptions(NamedTuple):
    """Values of the options; hashable."""

    outbox_dir: str
    durability: str
    tap: bool
    tracebacks: bool
    labels: tuple[tuple[str, str], ...]
    cell: str | None
    region: str | None


def list_opts() -> list[tuple[str, list[Any]]]:
    """Return the options for Nova's configuration generator (entry point ``oslo.config.opts``)."""
    return [(GROUP, OPTIONS)]


def read_options(conf: cfg.ConfigOpts) -> NovaOptions:
    """Register the options and return their values. Raises ``oslo_config.cfg.ConfigFileValueError``."""
    conf.register_opts(OPTIONS, group=GROUP)
    result = conf[GROUP]
    return NovaOptions(
        outbox_dir=result.outbox_dir,
        durability=result.durability,
        tap=result.tap,
        tracebacks=result.tracebacks,
        labels=tuple(sorted(result.labels.items())),
        cell=result.cell,
        region=result.region,
    )
