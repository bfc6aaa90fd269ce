"""Builds the ``failure`` of an event: class, causes, blame and the reason for users of one exception.

The root cause decides blame and reason: the cause that a wrapper quotes, else the first class from outside that is no
wrapper. The reason is the text that Nova shows to its own users of the exception (``exception_to_dict`` in
``nova/compute/utils.py``), or the class name where Nova shows only that. Where Nova shows a wrapper's text, the text of
the cause follows unless the wrapper quotes it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from stumble.translate import fields
from stumble.translate.causes import raised_in
from stumble.translate.exceptions import ParsedException, UserText, from_legacy, parse_exception, without_remote_text
from stumble.translate.names import NO_ACTION_METHODS, STEP_ACTIONS, step_of_method
from stumble.wire.masking import mask_secrets
from stumble.wire.taxonomy import NOVA, QUOTING, WRAPPERS, classify, module_of_class, shows_text, strip_remote

Failure = dict[str, Any]


class FailureSighting(NamedTuple):
    """The ``failure`` record of an event, and whether the exception crossed RPC: then another service raised it."""

    record: Failure
    remote: bool


_START = "Traceback (most recent call last):"
_FRAME = re.compile(r'File "[^"\n]{0,512}nova/(compute|conductor)/manager\.py", line \d+, in (\w{1,128})')
_UNKNOWN_CLASS = "Exception"
#: At most this many characters of a foreign cause's text are searched for in the text that may quote it.
_QUOTED = 120

#: The compute method that receives events of Neutron and Cinder; an event that starts an action runs a step inside.
EXTERNAL_EVENT = "external_instance_event"


def build_failure(
    what: ParsedException,
    *,
    module: str | None = None,
    function: str | None = None,
    traceback: str | None = None,
    causes: Sequence[ParsedException] = (),
) -> FailureSighting:
    """Return the failure of one exception as one signal showed it, with secrets masked.

    ``module`` is stored with it: that of the class, or of the raising frame. ``causes`` are those inside the exception,
    outermost first.
    """
    name = what.exception or _UNKNOWN_CLASS
    inner = [cause for cause in causes if cause.exception] or [parse_exception(cause, None) for cause in what.chain]
    inner = _quoted_first(what, inner)
    message = mask_secrets(what.message) if what.message else None
    links = [what._replace(exception=name, message=message), *inner]
    root = _root(links)
    own, known = classify(name, what.module), classify(root.exception or name, root.module)
    trace = traceback or what.traceback
    return FailureSighting(
        {
            "exception": name,
            "module": module,
            "function": function,
            "chain": [str(cause.exception) for cause in inner],
            "code": own.code if what.code is None else what.code,
            "code_source": own.code_source if what.code is None else "SOURCE",
            "reason": _reason(links, root),
            "message": message,
            "traceback": mask_secrets(trace) if trace else None,
            "blame": known.blame,
            "retryable": known.retryable,
        },
        any(link.remote and link.exception == root.exception for link in links),
    )


def _quoted_first(what: ParsedException, causes: list[ParsedException]) -> list[ParsedException]:
    """Return the causes of an exception; of a wrapper, those that its text quotes come first.

    Nova aborts a build with the text of what failed, also where it does so while it handles another exception that the
    clean-up raised (``_build_resources`` in nova/compute/manager.py).
    """
    if what.exception not in WRAPPERS or not what.message:
        return causes
    text = what.message
    return sorted(causes, key=lambda cause: not cause.message or cause.message.strip()[:_QUOTED] not in text)


def _root(links: Sequence[ParsedException]) -> ParsedException:
    """Return the exception that decides: the outermost that is not a wrapper, else the innermost."""
    return next((link for link in links if link.exception not in WRAPPERS), links[-1])


def _reason(links: Sequence[ParsedException], root: ParsedException) -> str:
    for link in links:
        text = _user_text(link, links)
        if text is not None:
            cause = None if link is root else _user_text(root, links)
            return text if cause is None or cause in text else f"{text} Cause: {cause}"
        if link is root:
            break
    return root.exception or _UNKNOWN_CLASS


def _user_text(link: ParsedException, links: Sequence[ParsedException]) -> str | None:
    """Return the text that Nova's users may read of one exception, masked and without any traceback, or None."""
    name = link.exception or _UNKNOWN_CLASS
    if name in QUOTING and _quotes_foreign(link, links):
        return None
    shown = UserText(link.message if shows_text(name, link.module) else None) if link.shown is None else link.shown
    text = shown.text
    if not text or text == name:
        return None
    return mask_secrets(without_remote_text(text)) or None


def _quotes_foreign(link: ParsedException, links: Sequence[ParsedException]) -> bool:
    """Return whether the text of an exception contains that of a cause that is not Nova's."""
    return any(
        (cause.message or "").strip()[:_QUOTED] in (link.message or "")
        for cause in links
        if cause is not link and cause.message and not shows_text(cause.exception or "", cause.module)
    )


def versioned_failure(payload: Any) -> FailureSighting | None:
    """Return the failure in a versioned ExceptionPayload, or None."""
    result = fields.data(payload)
    name = fields.text(result.get("exception"))
    if name is None:
        return None
    traceback = fields.text(result.get("traceback"))
    frame = fields.text(result.get("module_name"))  # of the frame that raised, not of the class
    outer, *causes = raised_in(traceback, name) or (ParsedException(None, None),)
    module = outer.module or module_of_class(name, frame)
    return build_failure(
        parse_exception(name, fields.text(result.get("exception_message")), module),
        module=outer.module or frame,
        function=fields.text(result.get("function_name")),
        traceback=traceback,
        causes=causes,
    )


def legacy_failure(payload: Mapping[str, Any], *, key: str = "exception") -> FailureSighting | None:
    """Return the failure that a legacy payload shows under ``key``, or None."""
    what = from_legacy(payload.get(key))
    if what is None:
        return None
    shown = fields.text(payload.get("message")) if key == "exception" else None
    if shown is not None:
        what = _with_user_text(what, shown)
    if what.code is None and what.exception is not None:
        what = what._replace(code=fields.integer(payload.get("code")))
    return build_failure(what)


def _with_user_text(what: ParsedException, shown: str) -> ParsedException:
    """Add what Nova itself put beside an exception: its text for users, cut at 255 bytes, or only the class name.

    So does ``exception_to_dict`` in ``notify_about_instance_usage`` (nova/compute/utils.py). The class name proves that
    the class is not Nova's; a text counts only if the exception itself has the form of Nova's.
    """
    if what.exception is None or what.message is None:
        return what._replace(message=what.message or shown)
    if strip_remote(shown) == what.exception != what.message:
        return what._replace(module=None if what.module == NOVA else what.module, shown=UserText(None))
    if what.module != NOVA:
        return what
    return what._replace(shown=UserText(what.message if what.message.startswith(shown) else shown))


def method_of(traceback: str | None) -> tuple[str, str] | None:
    """Return (service, method) of the outermost manager method in a traceback, which a ``compute.exception`` ended.

    The notification itself names only the raising frame; the outermost method of the manager is the step.
    """
    if not traceback:
        return None
    last = traceback.rfind(_START)
    frames = _FRAME.findall(traceback[max(last, 0) :])
    for where, name in frames:
        step = step_of_method(name, f"nova-{where}")
        if name in NO_ACTION_METHODS or step in STEP_ACTIONS or name in _SHARED_METHODS:
            return f"nova-{where}", name
    return ("nova-compute", EXTERNAL_EVENT) if ("compute", EXTERNAL_EVENT) in frames else None


#: Methods that several actions run as a step.
_SHARED_METHODS = frozenset(
    {"stop_instance", "rebuild_instance", "snapshot_instance", "shelve_offload_instance", "power_update"}
)
