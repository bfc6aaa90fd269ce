"""The facts of an instance, as an audit combines them from the rows that it staged."""

from __future__ import annotations

from stumble.audit.instance_chunks import chunk_of
from stumble.outcome.facts import fact_of, pack_facts
from stumble.testing.events import decoded

INSTANCE, REQUEST = "6b896aea-d99d-4bdc-bdb7-30737f42f5c6", "req-2cf6eab8-73ca-423d-8058-fb783757a664"


def test_first_copy_of_an_event_counts_as_in_the_projector() -> None:
    first = fact_of(decoded())
    later_copy = first._replace(at=first.at - 990)  # a replaced time ends with the last digits of the offset
    rows = [(INSTANCE, REQUEST, 0, pack_facts([first])), (INSTANCE, REQUEST, 0, pack_facts([later_copy]))]
    assert chunk_of([INSTANCE], rows).sets[INSTANCE, REQUEST] == (first,)
    together = [(INSTANCE, REQUEST, 0, pack_facts([first, later_copy]))]
    assert chunk_of([INSTANCE], together).sets[INSTANCE, REQUEST] == (first,)
