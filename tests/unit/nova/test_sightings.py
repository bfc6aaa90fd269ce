from __future__ import annotations

import gc
import weakref

import pytest

from stumble.nova.sightings import chain, describe, failing_event, token_of


class NovaLike(Exception):
    def __init__(self, message: str = "m", **kwargs: object) -> None:
        super().__init__(message)
        self.kwargs = {"code": 400} | kwargs


class Rollback(Exception):
    def __init__(self, inner: Exception) -> None:
        super().__init__("rolled back")
        self.inner_exception = inner


class Unhashable(Exception):
    def __eq__(self, other: object) -> bool:
        return self is other

    __hash__ = None  # type: ignore[assignment]


class Mute(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


def test_an_object_keeps_its_token_and_another_has_another():
    for make in (NovaLike, ValueError, Unhashable):
        one, other = make("x"), make("x")
        assert token_of(one) == token_of(one)
        assert token_of(one) != token_of(other)


def test_the_token_does_not_show_and_does_not_keep_the_object():
    error = NovaLike()
    before = dict(vars(error))
    token_of(error)
    assert vars(error) == before
    gone = weakref.ref(error)
    del error
    gc.collect()
    assert gone() is None


def test_what_is_inside_outermost_first():
    error = NovaLike()
    error.__cause__ = OSError("disk")
    assert chain(Rollback(error)) == ["NovaLike", "OSError"]
    assert chain(ValueError()) == []


def test_a_chain_that_bites_its_tail_ends():
    one, other = ValueError(), KeyError()
    one.__context__, other.__context__ = other, one
    assert chain(one) == ["KeyError"]


def test_description():
    def fails() -> None:
        raise NovaLike("broken", code=409)

    try:
        fails()
    except NovaLike as error:
        found = describe(error)
    assert (found["class"], found["message"], found["code"], found["function"]) == ("NovaLike", "broken", 409, "fails")
    assert found["module"] == __name__
    assert "in fails" in found["traceback"]


class ExternalEvent:
    instance_uuid, tag = "u", "vol-2"

    def obj_attr_is_set(self, _name: str) -> bool:
        return True


def test_the_external_event_at_which_a_call_failed():
    def external_instance_event() -> None:
        for event in (None, ExternalEvent()):
            if event is not None:
                raise NovaLike

    with pytest.raises(NovaLike) as caught:
        external_instance_event()
    assert failing_event(caught.value) == ("u", "vol-2")
    assert failing_event(ValueError()) is None


def test_an_exception_that_can_not_be_told_is_still_described():
    found = describe(Mute())
    assert (found["class"], found["message"], found["code"]) == ("Mute", "", None)
