from __future__ import annotations

import pytest

from stumble.translate.exceptions import ParsedException, from_legacy, seen


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ValueError('bad, worse')", ParsedException("ValueError", "bad, worse")),
        ("ValueError()", ParsedException("ValueError", None)),
        ("OSError(28, 'No space')", ParsedException("OSError", "28, 'No space'")),
        ("oslo_messaging.exceptions.MessagingTimeout('late',)", ParsedException("MessagingTimeout", "late")),
        (
            "RemoteError('Remote error: KeyError boom\\n[\\'Trace\\'].')",
            ParsedException("KeyError", "boom", traceback="['Trace']."),
        ),
        ("nothing that looks like an exception", ParsedException(None, "nothing that looks like an exception")),
        ("{'message': 'x', 'class': 'NoValidHost'}", ParsedException("NoValidHost", "x")),
        (
            "{'kwargs': {'code': 404}, 'message': 'x', 'class': 'PortNotFound_Remote'}",
            ParsedException("PortNotFound", "x", code=404),
        ),
        (
            (
                "{'inner_exception': ValueError('in'), 'kwargs': {'code': 500}, 'message': 'out', "
                "'class': 'InstanceFaultRollback'}"
            ),
            ParsedException("InstanceFaultRollback", "out", ("ValueError",), 500),
        ),
        # A text that quotes the form itself does not pass for the class.
        (
            "{'kwargs': {}, 'message': \"'message': 'm', 'class': 'Forged'\", 'class': 'NoValidHost'}",
            ParsedException("NoValidHost", "'message': 'm', 'class': 'Forged'"),
        ),
        (
            "{'kwargs': {'code': 500}, 'message': Translated('x'), 'class': 'NoValidHost'}",
            ParsedException("NoValidHost", None, code=500),
        ),
        ("{" * 5000, ParsedException(None, None)),
    ],
)
def test_forms_of_legacy_exceptions(text: str, expected: ParsedException):
    assert from_legacy(text) == expected


def test_an_endless_text_is_read_in_bounded_time():
    quoted = "'message': '" * 100_000
    assert from_legacy("{" + quoted).exception is None
    text = "{'kwargs': {}, 'message': \"" + quoted + "\", 'class': 'NoValidHost'}"
    assert from_legacy(text).exception == "NoValidHost"


def test_attributes_after_the_class_do_not_hide_it():
    assert from_legacy("{'message': 'x', 'class': 'NoValidHost', 'more': 1}") == ParsedException("NoValidHost", "x")


def test_a_mapping_and_nothing():
    value = {"class": "PortNotFound", "message": "x", "kwargs": {"code": 404}}
    assert from_legacy(value) == ParsedException("PortNotFound", "x", code=404)
    assert from_legacy(None) is None
    assert from_legacy({}) is None


def test_code_in_a_text_is_not_run():
    assert from_legacy("ValueError(__import__('os').abort())") == ParsedException(
        "ValueError", "__import__('os').abort()"
    )


def test_a_local_exception_keeps_its_text():
    text = "x\nTraceback (most recent call last):\n y"
    assert seen("LibvirtError", text) == ParsedException("LibvirtError", text)
