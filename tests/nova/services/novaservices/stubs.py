"""Replacements of Keystone, Neutron, Cinder and Glance in each process: Nova's own functional fixtures."""

from __future__ import annotations

import json
import os
import pathlib
import queue
import threading
import time
import traceback
from typing import Any

import fixtures
import oslo_messaging
from nova.tests.fixtures import cinder, glance, neutron
from oslo_messaging._drivers import amqpdriver


class _Test:
    """The attributes of a test case that the fixtures use."""

    def stub_out(self, name: str, replacement: Any) -> None:
        """Replace a function of Nova until the process ends."""
        fixtures.MonkeyPatch(name, replacement).setUp()

    def flags(self, *_ignored: Any, **_options: Any) -> None:
        """Do nothing: options are in nova.conf."""

    useFixture = flags  # noqa: N815 - the fixtures' name; it sets options too


class SharedGlance(glance.GlanceFixture):  # type: ignore[misc]
    """Images in a folder, so that all processes know the images that one of them has created."""

    def __init__(self, test: Any, folder: pathlib.Path):
        super().__init__(test)
        self._folder = folder

    def create(self, context: Any, metadata: Any, data: Any = None) -> Any:
        """Create an image; the fixture's own images are known in every process."""
        image = super().create(context, metadata, data)
        if context is not None:
            (self._folder / image["id"]).write_text(json.dumps(image, default=str))
        return image

    def show(self, context: Any, image_id: Any, **kwargs: Any) -> Any:
        """Return an image, also one of another process."""
        self._load_shared(str(image_id))
        return super().show(context, image_id, **kwargs)

    def update(self, context: Any, image_id: Any, *args: Any, **kwargs: Any) -> Any:
        """Change an image."""
        self._load_shared(str(image_id))
        return super().update(context, image_id, *args, **kwargs)

    def delete(self, context: Any, image_id: Any) -> None:
        """Delete an image in all processes."""
        self._load_shared(str(image_id))
        super().delete(context, image_id)
        (self._folder / str(image_id)).unlink(missing_ok=True)

    def _load_shared(self, image_id: str) -> None:
        file = self._folder / image_id
        if image_id not in self.images and file.exists():
            self.images[image_id] = {
                **json.loads(file.read_text()),
                "created_at": self.timestamp,
                "updated_at": self.timestamp,
            }


def _get_reply(self: Any, msg_id: str, timeout: float) -> Any:
    """Wait for the reply to an RPC call, as oslo.messaging does, which polls only twice a second."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        try:
            return self._queues[msg_id].get(block=False)
        except queue.Empty:
            time.sleep(0.01)
    raise oslo_messaging.MessagingTimeout(f"Timed out waiting for a reply to message ID {msg_id}")


def _watch_threads() -> None:
    """Write the stack of every thread that stumble starts in a service to a file: there must be none."""
    start = threading.Thread.start

    def watched(self: threading.Thread) -> None:
        stack = traceback.extract_stack()[:-1]
        own = [
            frame.filename for frame in stack if "/stumble/" in frame.filename or "/site-packages/" in frame.filename
        ]
        if own and "/stumble/" in own[-1]:  # not a thread of Nova that was started inside the tap
            with pathlib.Path(os.environ["STUMBLE_TEST_THREADS"]).open("a") as file:
                file.write("".join(traceback.format_list(stack)))
        start(self)

    threading.Thread.start = watched  # type: ignore[method-assign]


def install(images: pathlib.Path) -> None:
    """Replace the clients of the other services in this process."""
    _watch_threads()
    amqpdriver.ReplyWaiters.get = _get_reply
    test = _Test()
    for fixture in (neutron.NeutronFixture(test), cinder.CinderFixture(test), SharedGlance(test, images)):
        fixture.setUp()
