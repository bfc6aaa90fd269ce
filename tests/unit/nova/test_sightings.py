from __future__ import annotations

import gc
import weakref

import pytest

from stumble.nova.sightings import describe_exception, failing_event, token_of


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


class Unprintable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


def cause_names(error: BaseException) -> list[str]:
    return [link["class"] for link in describe_exception(error)["chain"]]


def test_token_is_stable_per_object_and_differs_between_objects():
    for make in (NovaLike, ValueError, Unhashable):
        one, other = make("x"), make("x")
        assert token_of(one) == token_of(one)
        assert token_of(one) != token_of(other)


def test_token_is_not_visible_and_does_not_keep_the_object_alive():
    error = NovaLike()
    before = dict(vars(error))
    token_of(error)
    assert vars(error) == before
    reference = weakref.ref(error)
    del error
    gc.collect()
    assert reference() is None


def test_chain_lists_causes_outermost_first():
    error = NovaLike()
    error.__cause__ = OSError("disk")
    assert cause_names(Rollback(error)) == ["NovaLike", "OSError"]
    assert cause_names(ValueError()) == []


def test_chain_continues_with_what_the_carrier_of_an_exception_followed():
    """``InstanceFaultRollback`` carries the exception that a compute then raises while handling it."""
    carried = NovaLike()
    carrier = Rollback(carried)
    carried.__context__, carrier.__context__ = carrier, OSError("disk")
    assert cause_names(carried) == ["Rollback", "OSError"]
    assert cause_names(carrier) == ["NovaLike", "OSError"]


def test_chain_is_bounded():
    error: BaseException = ValueError()
    for _ in range(50):
        outer = KeyError()
        outer.__cause__, error = error, outer
    assert len(cause_names(error)) == 16


def test_circular_chain_ends():
    one, other = ValueError(), KeyError()
    one.__context__, other.__context__ = other, one
    assert cause_names(one) == ["KeyError"]


def test_description_has_class_message_code_function_and_traceback():
    def fails() -> None:
        raise NovaLike("broken", code=409)

    try:
        fails()
    except NovaLike as error:
        described = describe_exception(error)
    assert (described["class"], described["message"], described["code"], described["function"]) == (
        "NovaLike",
        "broken",
        409,
        "fails",
    )
    assert described["module"] == __name__
    assert "in fails" in described["traceback"]


class ExternalEvent:
    instance_uuid, tag = "u", "vol-2"

    def obj_attr_is_set(self, _name: str) -> bool:
        return True


def test_failing_event_is_the_external_event_of_the_failed_call():
    def external_instance_event() -> None:
        for event in (None, ExternalEvent()):
            if event is not None:
                raise NovaLike

    with pytest.raises(NovaLike) as caught:
        external_instance_event()
    assert failing_event(caught.value) == ("u", "vol-2")
    assert failing_event(ValueError()) is None


def test_exception_whose_text_raises_is_described():
    described = describe_exception(Unprintable())
    assert (described["class"], described["message"], described["code"]) == ("Unprintable", "", None)


class Formats(NovaLike):
    def format_message(self) -> object:
        return self.args[0]


def test_description_has_the_module_of_each_class_and_the_text_that_nova_shows():
    error = Formats("shown")
    error.__cause__ = OSError("hidden")
    described = describe_exception(error)
    assert (described["module"], described["user_message"]) == (__name__, "shown")
    (cause,) = described["chain"]
    assert cause == {"class": "OSError", "module": "builtins", "message": "hidden", "user_message": None}


@pytest.mark.parametrize("text", [None, 7, b"x"])
def test_text_for_users_that_is_no_text_is_left_out(text: object):
    assert describe_exception(Formats(text))["user_message"] is None  # type: ignore[arg-type]


def test_description_keeps_no_reference():
    error, cause = NovaLike(), NovaLike()
    error.__cause__ = cause
    references = weakref.ref(error), weakref.ref(cause)
    describe_exception(error)
    del error, cause
    gc.collect()
    assert [reference() for reference in references] == [None, None]
