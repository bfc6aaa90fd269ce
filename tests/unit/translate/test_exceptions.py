from __future__ import annotations

import pytest

from stumble.translate.exceptions import ParsedException, from_legacy, parse_exception


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ValueError('bad, worse')", ParsedException("ValueError", "bad, worse")),
        ("ValueError()", ParsedException("ValueError", None)),
        ("OSError(28, 'No space')", ParsedException("OSError", "28, 'No space'")),
        (
            "oslo_messaging.exceptions.MessagingTimeout('late',)",
            ParsedException("MessagingTimeout", "late", module="oslo_messaging.exceptions"),
        ),
        (
            "RemoteError('Remote error: KeyError boom\\n[\\'Trace\\'].')",
            ParsedException("KeyError", "boom", traceback="['Trace'].", remote=True),
        ),
        ("nothing that looks like an exception", ParsedException(None, "nothing that looks like an exception")),
        ("{'message': 'x', 'class': 'NoValidHost'}", ParsedException("NoValidHost", "x", module="nova")),
        (
            "{'kwargs': {'code': 404}, 'message': 'x', 'class': 'PortNotFound_Remote'}",
            ParsedException("PortNotFound", "x", code=404, module="nova", remote=True),
        ),
        (
            (
                "{'inner_exception': ValueError('in'), 'kwargs': {'code': 500}, 'message': 'out', "
                "'class': 'InstanceFaultRollback'}"
            ),
            ParsedException("InstanceFaultRollback", "out", ("ValueError",), 500, module="nova"),
        ),
        # The form quoted inside a message must not set the class.
        (
            "{'kwargs': {}, 'message': \"'message': 'm', 'class': 'Forged'\", 'class': 'NoValidHost'}",
            ParsedException("NoValidHost", "'message': 'm', 'class': 'Forged'", module="nova"),
        ),
        (
            "{'kwargs': {'code': 500}, 'message': Translated('x'), 'class': 'NoValidHost'}",
            ParsedException("NoValidHost", None, code=500, module="nova"),
        ),
        ("{" * 5000, ParsedException(None, None)),
        # Python 2
        ("NoValidHost(u'No \\xe9',)", ParsedException("NoValidHost", "No \xe9")),
        (
            "{'kwargs': {'reason': u'no path', 'code': 400L}, 'message': u'no path', 'class': 'VolumeAttachFailed'}",
            ParsedException("VolumeAttachFailed", "no path", code=400, module="nova"),
        ),
        (
            "RemoteError(u'Remote error: KeyError boom\\n[u\\'Trace\\'].',)",
            ParsedException("KeyError", "boom", traceback="[u'Trace'].", remote=True),
        ),
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
    parsed = ParsedException("NoValidHost", "x", module="nova")
    assert from_legacy("{'message': 'x', 'class': 'NoValidHost', 'more': 1}") == parsed


@pytest.mark.parametrize("more", ["'arqs': ['one', 'two']", "'number': 7, 'text': 'y, z'", "'arqs': []", "'u': u'z'"])
def test_attributes_before_the_class_do_not_hide_the_message(more: str):
    """AcceleratorRequestBindingFailed has one (nova/exception.py)."""
    parsed = from_legacy(f"{{'kwargs': {{'msg': 'x'}}, 'message': 'x', {more}, 'class': 'NoValidHost'}}")
    assert parsed == ParsedException("NoValidHost", "x", module="nova")


def test_mapping_is_parsed_and_empty_value_gives_none():
    value = {"class": "PortNotFound", "message": "x", "kwargs": {"code": 404}}
    assert from_legacy(value) == ParsedException("PortNotFound", "x", code=404, module="nova")
    assert from_legacy(None) is None
    assert from_legacy({}) is None


def test_code_in_a_text_is_not_executed():
    assert from_legacy("ValueError(__import__('os').abort())") == ParsedException(
        "ValueError", "__import__('os').abort()"
    )


def test_text_of_a_local_exception_is_unchanged():
    text = "x\nTraceback (most recent call last):\n y"
    assert parse_exception("LibvirtError", text) == ParsedException("LibvirtError", text)


_REMOTE_TRACEBACK = 'Traceback (most recent call last):\n\n  File "server.py", line 1, in f\n\n'


@pytest.mark.parametrize(
    ("exception", "module", "message", "expected"),
    [
        (
            "InvalidCPUInfo_Remote",
            "nova.exception_Remote",
            f"too old\n{_REMOTE_TRACEBACK}nova.exception.InvalidCPUInfo: too old\n",
            ("InvalidCPUInfo", "too old", "nova.exception"),
        ),
        # Without a module: RPC restores only Nova's classes under another name.
        ("NotFound_Remote", None, "gone", ("NotFound", "gone", "nova")),
        # Python's own classes keep their name when they cross RPC.
        (
            "NotImplementedError",
            "builtins",
            f"no\n{_REMOTE_TRACEBACK}NotImplementedError: no\n",
            ("NotImplementedError", "no", "builtins"),
        ),
        (
            "RemoteError",
            "oslo_messaging.rpc.client",
            "Remote error: NotFound none\n['Traceback (most recent call last):\\n', 'cinderclient.exc.NotFound'].",
            ("NotFound", "none", "cinderclient.exc"),
        ),
    ],
)
def test_exception_that_crossed_rpc_is_marked(
    exception: str, module: str | None, message: str, expected: tuple[str, str, str]
):
    parsed = parse_exception(exception, message, module)
    assert parsed.remote
    assert (parsed.exception, parsed.message, parsed.module) == expected
    assert parsed.traceback is not None or "Traceback" not in message


@pytest.mark.parametrize("message", ["no", "no\nTraceback (most recent call last):\n  of something else", None])
def test_local_exception_is_not_marked(message: str | None):
    assert not parse_exception("NotImplementedError", message, "builtins").remote
