"""Lists dead letters and sends them again: combines the topic, the store and predictions."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal, Self

from stumble.deadletters.dead_letter import RecordId
from stumble.deadletters.prediction import Prediction, RedrivePredictor
from stumble.deadletters.reader import DeadLetterTopic
from stumble.deadletters.redrive import Redriver
from stumble.deadletters.settings import DeadLetterSettings
from stumble.deadletters.status import RedriveCounts

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from psycopg import Connection

    from stumble.deadletters.dead_letter import DeadLetter
    from stumble.deadletters.selection import DeadLetterFilter, State
    from stumble.deadletters.status import RedriveCount
    from stumble.settings.kafka import KafkaSettings

#: SENT: the broker has it. WOULD_SEND: in a dry run. SKIPPED: parked, foreign, unreadable or sent before. REFUSED: the
#: broker did not accept it.
Done = Literal["SENT", "WOULD_SEND", "SKIPPED", "REFUSED"]


@dataclass(frozen=True, slots=True)
class ListedDeadLetter:
    """One dead letter, its state, and the expected result of sending it again."""

    dead_letter: DeadLetter
    state: State
    mark: RedriveCount | None
    seen: Prediction


@dataclass(frozen=True, slots=True)
class RedriveResult:
    """What a redrive did, or would do, with one dead letter."""

    entry: ListedDeadLetter
    done: Done
    why: str


@dataclass(frozen=True, slots=True)
class RedriveOptions:
    """How to redrive."""

    dry_run: bool = False
    #: Send parked ones, too.
    force: bool = False
    #: Send those that were sent before, too.
    again: bool = False
    #: Send those that the projector of this version cannot decode, too.
    unreadable: bool = False


class DeadLetterService:
    """Lists and redrives dead letters; use it in a ``with`` block.

    Memory holds one chunk of dead letters, for a topic of any size. Raises `KafkaUnavailableError` and psycopg's
    errors.
    """

    def __init__(self, kafka: KafkaSettings, connection: Connection[Any], *, seconds: float = 10.0) -> None:
        self._kafka = kafka
        self._actions = kafka.topics.actions
        self.topic = DeadLetterTopic(kafka, seconds=seconds)
        settings = DeadLetterSettings()
        self.states = RedriveCounts(connection, self.topic.topic_id, self._actions, settings.max_replays)
        self._predictor = RedrivePredictor(kafka, connection)
        #: Where to continue if the iteration stops after a chunk; None at the end.
        self.next: RecordId | None = None
        self.looked_at = 0

    def __enter__(self) -> Self:
        self.topic.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self.topic.__exit__(*error)

    def chunks(self, selection: DeadLetterFilter, start: RecordId | None = None) -> Generator[list[ListedDeadLetter]]:
        """Yield matching dead letters, chunk by chunk, also empty chunks."""
        for dead_letters in self.topic.chunks(start, selection.since):
            self.looked_at += len(dead_letters)
            self.next = RecordId(dead_letters[-1].record_id.partition, dead_letters[-1].record_id.offset + 1)
            yield self._matching(dead_letters, selection)
        self.next = None

    def entries(self, selection: DeadLetterFilter, start: RecordId | None = None) -> Iterator[ListedDeadLetter]:
        """Yield matching dead letters, in the order of the topic."""
        for chunk in self.chunks(selection, start):
            yield from chunk

    def one(self, record_id: RecordId) -> ListedDeadLetter | None:
        """Return the dead letter at a position, None if there is none."""
        low, high = self.topic.bounds.get(record_id.partition, (0, 0))
        if not low <= record_id.offset < high:
            return None
        chunk = next(iter(self.topic.chunks(record_id)), [])
        dead_letters = [dead_letter for dead_letter in islice(chunk, 1) if dead_letter.record_id == record_id]
        return self._entries(dead_letters)[0] if dead_letters else None

    def redrive(
        self,
        selection: DeadLetterFilter,
        orders: RedriveOptions,
        *,
        start: RecordId | None = None,
        limit: int | None = None,
    ) -> Generator[list[RedriveResult]]:
        """Send matching dead letters to their original topic; yield the results, chunk by chunk.

        Each dead letter is marked as soon as the broker has its record, so an interrupted run can be repeated. Raises
        `BusyError` while another redrive runs.
        """
        if orders.dry_run:
            yield from self._redrive(selection, orders, None, start, limit)
            return
        sender = Redriver(self._kafka, self.topic.partitions_of(self._actions))
        with self.states.alone():
            self.states.forget_before({partition: low for partition, (low, _) in self.topic.bounds.items()})
            yield from self._redrive(selection, orders, sender, start, limit)

    def _redrive(
        self,
        selection: DeadLetterFilter,
        orders: RedriveOptions,
        sender: Redriver | None,
        start: RecordId | None,
        limit: int | None,
    ) -> Generator[list[RedriveResult]]:
        left = limit
        for chunk in self.chunks(selection, start):
            outcomes = [_intended(entry, orders) for entry in chunk]
            wanted = [outcome for outcome in outcomes if outcome.done == "WOULD_SEND"]
            if left is not None:
                if len(wanted) > left:  # stop before the first one over the limit
                    self.next = wanted[left].entry.dead_letter.record_id
                    outcomes = outcomes[: outcomes.index(wanted[left])]
                    wanted = wanted[:left]
                left -= len(wanted)
            yield outcomes if sender is None else self._send(outcomes, wanted, sender)
            if left == 0:
                return

    def _send(
        self, outcomes: list[RedriveResult], wanted: list[RedriveResult], sender: Redriver
    ) -> list[RedriveResult]:
        dead_letters = [outcome.entry.dead_letter for outcome in wanted]
        failed = sender.send(dead_letters) if dead_letters else {}
        sent = [dead_letter.record_id for dead_letter in dead_letters if dead_letter.record_id not in failed]
        if sent:
            self.states.mark(sent)
        return [_result_of(outcome, failed) if outcome.done == "WOULD_SEND" else outcome for outcome in outcomes]

    def _matching(self, dead_letters: list[DeadLetter], selection: DeadLetterFilter) -> list[ListedDeadLetter]:
        entries = self._entries([dead_letter for dead_letter in dead_letters if selection.matches(dead_letter)])
        if selection.state:
            entries = [entry for entry in entries if entry.state in selection.state]
        if selection.action:
            entries = [entry for entry in entries if entry.seen.action in selection.action]
        return entries

    def _entries(self, dead_letters: list[DeadLetter]) -> list[ListedDeadLetter]:
        marks = self.states.marks(dead_letters)
        result = []
        for dead_letter, seen in zip(dead_letters, self._predictor.predict(dead_letters), strict=True):
            mark = marks.get(dead_letter.record_id)
            result.append(ListedDeadLetter(dead_letter, self.states.of(dead_letter, mark), mark, seen))
        return result


def _intended(entry: ListedDeadLetter, orders: RedriveOptions) -> RedriveResult:
    """Return what is to be done with a dead letter."""
    dead_letter = entry.dead_letter
    if dead_letter.origin is None:
        return RedriveResult(entry, "SKIPPED", "its headers do not contain its origin: stumble did not write it")
    if entry.state == "FOREIGN":
        return RedriveResult(
            entry, "SKIPPED", f"its origin is {dead_letter.origin.topic}, which is not the topic of this store"
        )
    if entry.state == "REDRIVEN" and not orders.again:
        return RedriveResult(entry, "SKIPPED", "it was sent again before (--again sends it once more)")
    if entry.state == "PARKED" and not orders.force:
        return RedriveResult(
            entry,
            "SKIPPED",
            f"it was dead-lettered again after {dead_letter.replays} redrives and is parked (--force sends it)",
        )
    if not (orders.unreadable or entry.seen.readable):
        return RedriveResult(entry, "SKIPPED", f"{entry.seen.why} (--unreadable sends it)")
    return RedriveResult(entry, "WOULD_SEND", entry.seen.why)


def _result_of(outcome: RedriveResult, failed: dict[RecordId, str]) -> RedriveResult:
    reason = failed.get(outcome.entry.dead_letter.record_id)
    if reason is None:
        return RedriveResult(outcome.entry, "SENT", outcome.why)
    return RedriveResult(outcome.entry, "REFUSED", f"the broker did not accept it: {reason}")
