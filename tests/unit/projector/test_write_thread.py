"""The projector's writer thread."""

from __future__ import annotations

import threading
from typing import cast

from stumble.ingest.batch import Batch
from stumble.projector.batch_writer import BatchWriter
from stumble.projector.write_thread import WriteThread


class FailingWriter:
    """A writer with an error that it does not handle."""

    def write(self, _):
        raise RuntimeError("not handled")

    def close(self): ...


def test_error_that_no_writer_handles_is_a_result_and_the_thread_goes_on():
    writer = cast("BatchWriter", FailingWriter())
    thread = WriteThread(writer, writer, threading.Event())
    thread.start()
    for _ in range(2):
        thread.submit(Batch())
        assert thread.wait(10)
        assert [str(result.error) for result in thread.take_results()] == ["not handled"]
    thread.end()
    thread.join(10)
    assert not thread.is_alive()
