"""The time from `emit` to the request's row: emits a stream in real time and queries each request's row."""

from __future__ import annotations

import sys
import threading
import time

import psycopg

from bench.ours.common import say
from stumble.emitter import Emitter
from stumble.simulator import Stream, StreamSettings
from stumble.simulator.clock import Pacer

_POLL_SECONDS = 0.004
_FOUND = "select request_id from stumble_derived.requests where request_id = any(%s)"


class Watch:
    """Queries the rows of requests whose first event was emitted; `taken` are seconds."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._since: dict[str, float] = {}
        self._lock = threading.Lock()
        self.taken: list[float] = []

    def expect(self, request_id: str) -> None:
        """Start a request's clock, at its first event."""
        with self._lock:
            self._since.setdefault(request_id, time.monotonic())

    def run(self, stop: threading.Event) -> None:
        """Query until `stop` is set and every request has a row, or for ten seconds more."""
        known: set[str] = set()
        deadline = None
        with psycopg.connect(self._url, autocommit=True) as connection:
            while True:
                with self._lock:
                    waiting = [request_id for request_id in self._since if request_id not in known]
                if waiting:
                    rows = connection.execute(_FOUND, (waiting,), prepare=True).fetchall()
                    now = time.monotonic()
                    self.taken += [now - self._since[request_id] for (request_id,) in rows]
                    known.update(request_id for (request_id,) in rows)
                if stop.is_set():
                    deadline = deadline or time.monotonic() + 10
                    if len(waiting) == 0 or time.monotonic() > deadline:
                        return
                time.sleep(_POLL_SECONDS)


def main(outbox: str, url: str, rate: float, seconds: float) -> None:
    """Emit `rate` events per second for `seconds`."""
    settings = StreamSettings(seed=99, start_us=time.time_ns() // 1000, rate=rate, seconds=seconds, pace=0.2)
    emitter, watch, stop = Emitter(outbox, service="bench", host="bench"), Watch(url), threading.Event()
    looking = threading.Thread(target=watch.run, args=(stop,))
    looking.start()
    pacer, asked = Pacer(settings.start_us, time.sleep), set()
    for item in Stream(settings):
        pacer.until(item.at_us)
        request_id = item.event["request_id"]
        if request_id not in asked:
            asked.add(request_id)
            watch.expect(request_id)
        emitter.emit(item.event)
    stop.set()
    looking.join()
    say(seconds=watch.taken, requests=len(asked))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], float(sys.argv[3]), float(sys.argv[4]))
