from __future__ import annotations

import pytest

from stumble.translate.exceptions import ParsedException, from_legacy, parse_exception


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
        # The form quoted inside a message must not set the class.
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
def test_legacy_exception_text_is_parsed(text: str, expected: ParsedException):
    assert from_legacy(text) == expected


def test_very_long_text_is_parsed_in_bounded_time():
    quoted = "'message': '" * 100_000
    assert _class_of("{" + quoted) is None
    text = "{'kwargs': {}, 'message': \"" + quoted + "\", 'class': 'NoValidHost'}"
    assert _class_of(text) == "NoValidHost"


def _class_of(text: str) -> str | None:
    parsed = from_legacy(text)
    assert parsed is not None
    return parsed.exception


def test_attributes_after_the_class_do_not_hide_it():
    assert from_legacy("{'message': 'x', 'class': 'NoValidHost', 'more': 1}") == ParsedException("NoValidHost", "x")


def test_mapping_is_parsed_and_empty_value_gives_none():
    value = {"class": "PortNotFound", "message": "x", "kwargs": {"code": 404}}
    assert from_legacy(value) == ParsedException("PortNotFound", "x", code=404)
    assert from_legacy(None) is None
    assert from_legacy({}) is None


def test_code_in_a_text_is_not_executed():
    assert from_legacy("ValueError(__import__('os').abort())") == ParsedException(
        "ValueError", "__import__('os').abort()"
    )


def test_text_of_a_local_exception_is_unchanged():
    text = "x\nTraceback (most recent call last):\n y"
    assert parse_exception("LibvirtError", text) == ParsedException("LibvirtError", text)
