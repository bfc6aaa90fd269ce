"""Class, blame and reason of exceptions as Nova raises them, seen as objects (the tap) and as text (notifications).

The rule that they are compared with is Nova's own (``exception_to_dict`` in nova/compute/utils.py): users read what
``format_message`` returns, and of classes without that method the class name.
"""

from __future__ import annotations

import traceback
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from stumble.nova.sightings import describe_exception
from stumble.translate import read_notification, read_tap
from stumble.wire.taxonomy import QUOTING, SHOWN_WRAPPERS, WRAPPERS, classify
from tests.unit.translate import samples

#: Text of a library that Nova shows to nobody but operators.
HIDDEN = "hidden http://192.0.2.20:8776/v3 pool=vms-internal"

NOVA = [
    *("VolumeNotCreated", "CinderConnectionFailed", "NotFound", "ServiceUnavailable", "PortBindingFailed"),
    *("BuildAbortException", "RescheduledException", "InvalidBDM", "MigrationPreCheckError", "ImageNotFound"),
]
FOREIGN = [
    *(("NotFound", "cinderclient.exceptions"), ("ServiceUnavailable", "neutronclient.common.exceptions")),
    *(("Unauthorized", "keystoneauth1.exceptions.http"), ("ImageNotFound", "rbd"), ("OSError", "builtins")),
    *(("libvirtError", "libvirt"), ("ClientException", "cinderclient.exceptions"), ("Newer", "unheard_of.errors")),
]


def make(name: str, module: str, text: str) -> BaseException:
    """Return an exception of a class of this name and module; Nova's have ``format_message``."""
    if module == "builtins":
        return OSError(text)
    body: dict[str, Any] = {"__module__": module}
    if module.startswith("nova."):
        body["format_message"] = lambda self: self.args[0]
    return type(name, (Exception,), body)(text)


def crossed(exc: BaseException) -> BaseException:
    """Return an exception of Nova as oslo.messaging's ``deserialize_remote_exception`` restores it."""
    text = f"{exc}\n" + "\n".join(traceback.format_exception(exc))
    body = {"__module__": f"{type(exc).__module__}_Remote", "__str__": lambda _: text}
    return type(f"{type(exc).__name__}_Remote", (type(exc),), body)(*exc.args)


NOVA_TEXTS = st.integers(1, 9).map(lambda number: f"Nova's text {number} for its users.")
RAISED = st.builds(
    lambda name, text, remote: (crossed if remote else lambda exc: exc)(make(name, "nova.exception", text)),
    st.sampled_from(NOVA),
    NOVA_TEXTS,
    st.booleans(),
) | st.sampled_from(FOREIGN).map(lambda item: make(*item, HIDDEN))
CHAINS = st.lists(st.tuples(RAISED, st.booleans()), min_size=1, max_size=5)


def raised(chain: list[tuple[BaseException, bool]]) -> BaseException:
    """Return the first exception of the chain, raised from the second (or while handling it), and so on."""
    inner: BaseException | None = None
    for exc, direct in reversed(chain):
        exc.__cause__, exc.__context__ = inner if direct else None, inner
        exc.__suppress_context__ = False
        try:
            throw(exc)
        except BaseException as error:  # noqa: BLE001 - of any class
            inner = error
    assert inner is not None
    return inner


def throw(exc: BaseException) -> None:
    raise exc


def by_tap(exc: BaseException) -> tuple[dict[str, Any], dict[str, str]]:
    call = {"kind": "fault", "call_id": "c", "time_us": samples.TIME_US, "instance_uuid": samples.UUID}
    (event,) = read_tap(call | {"exception": describe_exception(exc)}, samples.CONTEXT).events
    return event["failure"], event["attributes"]


def by_notification(exc: BaseException) -> tuple[dict[str, Any], dict[str, str]]:
    """Translate what ``ExceptionPayload.from_exception`` makes of it (nova/notifications/objects/exception.py)."""
    payload = samples.wrapped(
        "ExceptionPayload",
        exception=type(exc).__name__,
        exception_message=str(exc),
        module_name="tests",
        function_name="raised",
        traceback=",".join(traceback.format_exception(exc)),
    )
    (event,) = read_notification(samples.versioned("instance.create.error", fault=payload), samples.CONTEXT).events
    return event["failure"], event["attributes"]


def links_of(exc: BaseException | None) -> list[BaseException]:
    return [] if exc is None else [exc, *links_of(exc.__cause__ or exc.__context__)]


def name_of(exc: BaseException) -> str:
    return type(exc).__name__.removesuffix("_Remote")


@given(CHAINS)
def test_reason_is_never_less_than_what_nova_tells_and_never_a_librarys_text(chain: list[tuple[BaseException, bool]]):
    exc = raised(chain)
    for failure, _ in (by_tap(exc), by_notification(exc)):
        assert HIDDEN not in failure["reason"]
        assert "Traceback" not in failure["reason"]
        if hasattr(exc, "format_message") and name_of(exc) not in WRAPPERS - SHOWN_WRAPPERS | QUOTING:
            assert exc.format_message() in failure["reason"]


@given(CHAINS)
def test_root_cause_decides_blame_and_its_own_text_is_told(chain: list[tuple[BaseException, bool]]):
    exc = raised(chain)
    links = links_of(exc)
    root = next((link for link in links if name_of(link) not in WRAPPERS), links[-1])
    known = classify(name_of(root), type(root).__module__)
    for failure, _ in (by_tap(exc), by_notification(exc)):
        assert (failure["blame"], failure["retryable"]) == (known.blame, known.retryable)
        assert failure["exception"] == name_of(exc)
        if hasattr(root, "format_message") and name_of(root) not in WRAPPERS:
            assert root.format_message() in failure["reason"]


@given(CHAINS)
def test_object_and_text_of_a_local_exception_agree(chain: list[tuple[BaseException, bool]]):
    exc = raised([(error, direct) for error, direct in chain if not type(error).__name__.endswith("_Remote")] or chain)
    if any(type(link).__name__.endswith("_Remote") for link in links_of(exc)):
        return  # the text of a remote exception contains another traceback, with causes that the object lacks
    names = ("exception", "chain", "reason", "blame", "retryable")
    seen, read = by_tap(exc), by_notification(exc)
    assert [seen[0][name] for name in names] == [read[0][name] for name in names]
    assert seen[1] == read[1] == {}


@given(st.sampled_from(NOVA), NOVA_TEXTS, st.sampled_from(["", "BuildAbortException", "PortBindingFailed"]))
def test_exception_that_crossed_rpc_is_marked_also_inside_a_wrapper(name: str, text: str, outer: str):
    exc = crossed(make(name, "nova.exception", text))
    if outer:
        exc = raised([(make(outer, "nova.exception", "outer text"), True), (exc, True)])
    marked = outer in {"", name} or (outer in WRAPPERS and name not in WRAPPERS)
    for _, attributes in (by_tap(exc), by_notification(exc)):
        if not outer or name not in WRAPPERS:
            assert (attributes.get("remote") == "true") == marked
