"""Exceptions between the services of one process, as they arrive between processes: by oslo.messaging's own code.

Its fake transport hands the exception object itself to the caller. Over RabbitMQ the caller gets a new object: of a
class whose name ends in `_Remote`, or a `RemoteError` where the class is not Nova's.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from oslo_messaging._drivers import common, impl_fake

if TYPE_CHECKING:
    from collections.abc import Callable


class _Serialized(Exception):
    """An exception on its way to the caller; `data` is what a real transport sends."""

    def __init__(self, data: str):
        super().__init__(data)
        self.data = data


def install() -> None:
    """Serialize exceptions in replies. Call once, before Nova starts."""
    impl_fake.FakeIncomingMessage.reply = _reply
    impl_fake.FakeDriver._send = _received(impl_fake.FakeDriver._send)


def _reply(self: Any, reply: Any = None, failure: Any = None) -> None:
    if self._reply_q:
        self._reply_q.put((reply, _Serialized(common.serialize_remote_exception(failure)) if failure else None))


def _received(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def send(self: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return original(self, *args, **kwargs)
        except _Serialized as sent:
            received = common.deserialize_remote_exception(sent.data, self._allowed_remote_exmods)
        raise received

    return send
