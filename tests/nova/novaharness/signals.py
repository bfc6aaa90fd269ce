"""Record what the driver and its tap hand to the translation, as JSON lines without anything of the machine.

The recordings of the matrix consist of these signals: any way's events follow from them, by the translation of the day.
"""

from __future__ import annotations

import functools
import json
import re
import sys
import sysconfig
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from oslo_serialization import jsonutils
from oslo_utils import netutils

from stumble.nova import sightings
from stumble.nova.producer import Producer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_OMITTED = ("auth_token", "service_catalog")


class SignalRecorder:
    """Writes one line per signal: its scenario, time, host and context, and the notification or the call.

    A notification also has what the driver sees of the exception that is being handled: `handled`, as the tap describes
    it, and `failing`, the external event at which it was raised.
    """

    def __init__(self, path: Path):
        self._file: TextIO = path.open("w", encoding="utf-8")
        self._replacements = _replacements()  # now: Nova's fixtures change home and temporary folder
        self.scenario = "boot"

    def install(self) -> None:
        """Wrap the methods of stumble's producer that receive signals."""
        Producer.emit_notification = self._notification(Producer.emit_notification)  # type: ignore[method-assign]
        Producer.emit_call = self._call(Producer.emit_call)  # type: ignore[method-assign]

    def _notification(self, original: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(original)
        def emit_notification(producer: Producer, ctxt: Any, msg: Any, priority: str | None) -> None:
            exc = sys.exc_info()[1]
            handled = None if exc is None else sightings.describe_exception(exc)
            failing = None if exc is None else sightings.failing_event(exc)
            self._write(ctxt, producer.host, msg=msg, priority=priority, handled=handled, failing=failing)
            original(producer, ctxt, msg, priority)

        return emit_notification

    def _call(self, original: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(original)
        def emit_call(producer: Producer, call: Mapping[str, Any], ctxt: Mapping[str, Any]) -> None:
            self._write(ctxt, producer.host, call=call)
            original(producer, call, ctxt)

        return emit_call

    def _write(self, ctxt: Mapping[str, Any], host: str, **fields: Any) -> None:
        context = {name: value for name, value in ctxt.items() if name not in _OMITTED and value is not None}
        known = {name: value for name, value in fields.items() if value is not None}
        line = {"t": time.time(), "scenario": self.scenario, "host": host, "ctxt": context, **known}
        text = json.dumps(jsonutils.to_primitive(line, convert_instances=True, fallback=str))
        self._file.write(self._portable(text) + "\n")
        self._file.flush()

    def _portable(self, text: str) -> str:
        """Return text without this machine's address and folders."""
        for found, replacement in self._replacements:
            text = found.sub(replacement, text)
        return text


def _replacements() -> list[tuple[re.Pattern[str], str]]:
    """Return what to replace: folders, the longest first because one is inside another, and the machine's address."""
    paths = sysconfig.get_paths()
    folders = {
        f"{paths['purelib']}/": "",
        f"{paths['stdlib']}/": "python/",
        f"{sys.base_prefix}/": "python/",
        f"{sys.prefix}/": "",
        f"{Path(__file__).resolve().parents[1]}/": "",
        tempfile.gettempdir(): "/tmp",
        f"{Path.home()}/": "~/",
    }
    ordered = sorted(folders.items(), key=lambda pair: -len(pair[0]))
    address = re.compile(rf"(?<![\d.]){re.escape(netutils.get_my_ipv4())}(?!\d)")
    return [*((re.compile(re.escape(found)), to) for found, to in ordered), (address, "127.0.0.1")]
