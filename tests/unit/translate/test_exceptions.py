from __future__ import annotations

import pytest

from stumble.translate.exceptions import Seen, from_legacy, seen


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ValueError('bad, worse')", Seen("ValueError", "bad, worse")),
        ("ValueError()", Seen("ValueError", None)),
        ("OSError(28, 'No space')", Seen("OSError", "28, 'No space'")),
        ("oslo_messaging.exceptions.MessagingTimeout('late',)", Seen("MessagingTimeout", "late")),
        (
            "RemoteError('Remote error: KeyError boom\\n[\\'Trace\\'].')",
            Seen("KeyError", "boom", traceback="['Trace']."),
        ),
        ("nothing that looks like an exception", Seen(None, "nothing that looks like an exception")),
        ("{'message': 'x', 'class': 'NoValidHost'}", Seen("NoValidHost", "x")),
        (
            "{'kwargs': {'code': 404}, 'message': 'x', 'class': 'PortNotFound_Remote'}",
            Seen("PortNotFound", "x", code=404),
        ),
        (
            (
                "{'inner_exception': ValueError('in'), 'kwargs': {'code': 500}, 'message': 'out', "
                "'class': 'InstanceFaultRollback'}"
            ),
            Seen("InstanceFaultRollback", "out", ("ValueError",), 500),
        ),
        # A text that quotes the form itself does not pass for the class.
        (
            "{'kwargs': {}, 'message': \"'message': 'm', 'class': 'Forged'\", 'class': 'NoValidHost'}",
            Seen("NoValidHost", "'message': 'm', 'class': 'Forged'"),
        ),
        (
            "{'kwargs': {'code': 500}, 'message': Translated('x'), 'class': 'NoValidHost'}",
            Seen("NoValidHost", None, code=500),
        ),
        ("{" * 5000, Seen(None, None)),
    ],
)
def test_forms_of_legacy_exceptions(text: str, expected: Seen):
    assert from_legacy(text) == expected


def test_an_endless_text_is_read_in_bounded_time():
    quoted = "'message': '" * 100_000
    assert from_legacy("{" + quoted).exception is None
    text = "{'kwargs': {}, 'message': \"" + quoted + "\", 'class': 'NoValidHost'}"
    assert from_legacy(text).exception == "NoValidHost"


def test_attributes_after_the_class_do_not_hide_it():
    assert from_legacy("{'message': 'x', 'class': 'NoValidHost', 'more': 1}") == Seen("NoValidHost", "x")


def test_a_mapping_and_nothing():
    value = {"class": "PortNotFound", "message": "x", "kwargs": {"code": 404}}
    assert from_legacy(value) == Seen("PortNotFound", "x", code=404)
    assert from_legacy(None) is None
    assert from_legacy({}) is None


def test_code_in_a_text_is_not_run():
    assert from_legacy("ValueError(__import__('os').abort())") == Seen("ValueError", "__import__('os').abort()")


def test_a_local_exception_keeps_its_text():
    text = "x\nTraceback (most recent call last):\n y"
    assert seen("LibvirtError", text) == Seen("LibvirtError", text)
