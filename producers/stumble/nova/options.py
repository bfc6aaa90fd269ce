"""Options of section ``[stumble]`` in nova.conf."""

from __future__ import annotations

from typing import Any, NamedTuple

from oslo_config import cfg

GROUP = "stumble"

OPTIONS = [
    cfg.StrOpt(
        "outbox_dir",
        default="/var/lib/stumble/outbox",
        help="Directory in which each service leaves its events, in a folder per user and process, for the relay of "
        "this host (`stumble relay`). It must lie on a local file system that the service may write to; it is made "
        "with the first event.",
    ),
    cfg.StrOpt(
        "durability",
        default="process",
        choices=[
            ("process", "An accepted event survives the death of the service."),
            ("power", "An accepted event survives a power cut: one fdatasync an event, some milliseconds each."),
            ("memory", "Events lie in memory and are lost with the host."),
        ],
        help="What an accepted event survives.",
    ),
    cfg.BoolOpt(
        "tap",
        default=True,
        help="Whether to observe Nova's records of instance actions, faults and migrations in each service. Some "
        "failures are announced by no notification; without this they stay unseen unless "
        "[notifications]/notification_format is `both`, and some even then.",
    ),
    cfg.BoolOpt(
        "tracebacks",
        default=True,
        help="Whether the tracebacks of exceptions leave this host with the events, for operators. Passwords, tokens "
        "and keys in them are masked; set this to false where no text of a traceback may leave the host at all. Then "
        "exception class, place and message still tell what went wrong, and Nova's log on the host has the rest.",
    ),
    cfg.DictOpt(
        "labels",
        default={},
        help="Labels of this host that its events carry, for grouping: `rack:r1,aggregate:gpu`.",
    ),
    cfg.StrOpt("cell", help="Name of the cell that this host belongs to. Events carry it."),
    cfg.StrOpt("region", help="Name of the Keystone region of this cloud. Events carry it."),
]


class NovaOptions(NamedTuple):
    """The options' values, plain and comparable."""

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


def read(conf: cfg.ConfigOpts) -> NovaOptions:
    """Register the options and return their values. Raises ``oslo_config.cfg.ConfigFileValueError`` for a wrong one."""
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
