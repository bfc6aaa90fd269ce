"""Schema ids are resolved in a thread of their own."""

from __future__ import annotations

import logging
import threading
import time

import pytest

from stumble.projector.schema_resolver import SchemaResolver
from stumble.wire.errors import RegistryUnavailable, UnknownSchema


class Registry:
    """Answers with a text, raises an error, or lets the caller wait for `release`."""

    def __init__(self):
        self.error = None
        self.is_silent = False
        self.release = threading.Event()
        self.asked = []

    def resolve(self, schema_id):
        self.asked.append(schema_id)
        if self.is_silent:
            self.release.wait(20)
        if self.error is not None:
            raise self.error
        return f"schema {schema_id}"


@pytest.fixture
def registry():
    return Registry()


@pytest.fixture
def notes():
    return []


@pytest.fixture
def resolver(registry, notes):
    worker = SchemaResolver(registry.resolve, notes.append, logging.getLogger("stumble.test"))
    worker.start()
    yield worker
    worker.end()
    registry.release.set()
    worker.join(10)


def resolved(resolver, schema_id, seconds=20):
    """Ask until the registry has answered."""
    end = time.monotonic() + seconds
    while True:
        try:
            return resolver.resolve(schema_id)
        except RegistryUnavailable:
            if time.monotonic() > end:
                raise
            time.sleep(0.1)


def test_registry_that_answers_is_waited_for(resolver, registry):
    assert resolver.resolve(7) == "schema 7"
    assert registry.asked == [7]


def test_unknown_id_is_raised_and_asked_again_by_the_next_call(resolver, registry):
    registry.error = UnknownSchema("nobody knows it")
    with pytest.raises(UnknownSchema):
        resolver.resolve(7)
    registry.error = None
    assert resolver.resolve(7) == "schema 7"


def test_silent_registry_delays_only_the_first_caller(resolver, registry):
    registry.is_silent = True
    with pytest.raises(RegistryUnavailable, match="has not answered yet for schema id 1"):
        resolver.resolve(1)
    for schema_id in range(1, 101):
        with pytest.raises(RegistryUnavailable):
            resolver.resolve(schema_id)
    assert registry.asked == [1], "one question at a time"
    registry.release.set()
    assert [resolved(resolver, schema_id) for schema_id in (1, 2, 100)] == ["schema 1", "schema 2", "schema 100"]


def test_registry_that_fails_is_remembered_until_it_answers(resolver, registry, notes):
    registry.error = RegistryUnavailable("It is down.")
    with pytest.raises(RegistryUnavailable):
        resolver.resolve(1)
    end = time.monotonic() + 10
    while not notes and time.monotonic() < end:
        time.sleep(0.05)
    with pytest.raises(RegistryUnavailable, match="It is down"):
        resolver.resolve(2)
    registry.error = None
    assert resolved(resolver, 1) == "schema 1"
    assert (notes[0], notes[-1]) == (False, True)
