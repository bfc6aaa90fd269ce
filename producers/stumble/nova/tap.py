"""The tap: observes Nova's own records of actions, faults and migrations, on the calling side.

It wraps the functions in ``TARGETS``, each on its class or module and as the outermost wrapper, so that it sees
exceptions as objects. A wrapper runs inside the action: it never raises, never waits, and passes its arguments on
unchanged. A function that a release of Nova lacks or that has other arguments is not wrapped, logged once and reported.
"""

from __future__ import annotations

import importlib
import inspect
import logging
import sys
from collections.abc import Callable
from types import FrameType, ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple

from stumble.nova import observe, undone

if TYPE_CHECKING:
    from stumble.nova.producer import Producer

LOG = logging.getLogger(__name__)

After = Callable[..., None] | None
Observer = Callable[["Producer", FrameType, dict[str, Any]], After]
#: Calls the original function with its arguments, then what the observer returned.
Caller = Callable[[Callable[..., Any], tuple[Any, ...], dict[str, Any], After], Any]


class WrappedFunction(NamedTuple):
    """A function to wrap: its location, its required arguments, and the observer that runs before each call.

    An observer may return a callback that runs after the call succeeded or, if ``raised`` is set, after the call ended;
    the latter gets the exception or None, and the result. ``only``: the service that has the function; ``optional``:
    some releases lack it.
    """

    module: str
    owner: str | None
    name: str
    needs: tuple[str, ...]
    observer: Observer
    raised: bool = False
    only: str | None = None
    optional: bool = False

    @property
    def label(self) -> str:
        """Name for messages."""
        return f"{self.owner}.{self.name}" if self.owner else self.name


_ACTION = "nova.objects.instance_action"
_STEP = ("context", "instance_uuid", "event_name")
TARGETS = (
    WrappedFunction(
        _ACTION, "InstanceAction", "action_start", ("context", "instance_uuid", "action_name"), observe.action_start
    ),
    WrappedFunction(_ACTION, "InstanceAction", "finish", ("self",), observe.action_finish),
    WrappedFunction(_ACTION, "InstanceActionEvent", "event_start", _STEP, observe.event_start),
    WrappedFunction(_ACTION, "InstanceActionEvent", "event_finish", _STEP, observe.event_finish),
    WrappedFunction(
        _ACTION,
        "InstanceActionEvent",
        "event_finish_with_failure",
        (*_STEP, "exc_val", "exc_tb"),
        observe.event_finish,
    ),
    WrappedFunction("nova.objects.migration", "Migration", "save", ("self",), observe.migration_save),
    WrappedFunction("nova.objects.instance", "Instance", "save", ("self",), observe.instance_save, raised=True),
    WrappedFunction(
        "nova.objects.block_device",
        "BlockDeviceMapping",
        "get_by_volume_and_instance",
        ("context", "volume_id"),
        undone.volume_lookup,
        raised=True,
        only="nova-compute",
    ),
    WrappedFunction("nova.image.glance", "API", "get", ("self",), undone.image_lookup, only="nova-compute"),
    WrappedFunction(
        "nova.compute.utils",
        None,
        "add_instance_fault_from_exc",
        ("context", "instance", "fault"),
        observe.fault,
    ),
    WrappedFunction("nova.service", "Service", "start", ("self",), observe.service_start),
    WrappedFunction(
        "nova.api.openstack.wsgi",
        "Resource",
        "dispatch",
        ("self", "method", "request", "action_args"),
        observe.api_call,
        raised=True,
        only="nova-api",
    ),
    WrappedFunction(
        "nova.conductor.manager",
        "ComputeTaskManager",
        "schedule_and_build_instances",
        ("self", "context"),
        observe.conductor_call,
        raised=True,
        only="nova-conductor",
    ),
    WrappedFunction(
        "nova.conductor.manager",
        "ComputeTaskManager",
        "attach_volume",
        ("self", "context"),
        observe.conductor_call,
        raised=True,
        only="nova-conductor",
        optional=True,
    ),
)


class _Tap:
    """State of the tap in this process."""

    def __init__(self) -> None:
        self.producer: Producer | None = None
        self.state = "off"
        self.undo: list[Callable[[], None]] = []


_tap = _Tap()


def install(producer: Producer) -> str:
    """Wrap Nova's functions unless they are wrapped, send their calls to ``producer``, and return the tap's state.

    The state is ``on``, or ``partial: …`` with what could not be wrapped. Never raises.
    """
    _tap.producer = producer
    if not _tap.undo:
        wanted = [one for one in TARGETS if one.only is None or producer.service in (None, one.only)]
        missing = [f"{target.label} ({reason})" for target in wanted if (reason := _wrap(target)) is not None]
        _tap.state = f"partial: not {', '.join(missing)}" if missing else "on"
        if missing:
            LOG.warning(
                "Some Nova functions could not be wrapped; failures there may be missed: %s.", ", ".join(missing)
            )
    return _tap.state


def uninstall() -> None:
    """Remove every wrapper (for tests: a service does not uninstall its tap)."""
    for undo in reversed(_tap.undo):
        undo()
    _tap.__init__()  # type: ignore[misc]


def _wrap(target: WrappedFunction) -> str | None:
    """Wrap one function; return the reason if it cannot be wrapped, else None."""
    try:
        module = importlib.import_module(target.module)
        owner = module if target.owner is None else getattr(module, target.owner)
        original = inspect.getattr_static(owner, target.name)
        parameters = list(inspect.signature(_raw(original)).parameters)
    except Exception as error:  # noqa: BLE001 - any release of Nova
        if target.optional and isinstance(error, AttributeError):
            return None
        return f"{type(error).__name__}: {error}"
    if isinstance(original, classmethod | staticmethod):
        parameters = parameters[1:]
    elif not inspect.isfunction(original):
        return f"it is a {type(original).__name__}"
    absent = [name for name in target.needs if name not in parameters]
    if absent:
        return f"it has no {', '.join(absent)}"
    wrapper: Any
    call = _call_to_the_end if target.raised else _call
    if isinstance(original, classmethod | staticmethod):
        wrapper = classmethod(_around_classmethod(original, target.observer, parameters, call))
    else:
        wrapper = _around_function(original, target.observer, parameters, call)
    _put(owner, target.name, original, wrapper)
    return None


def _raw(thing: Any) -> Any:
    """Return the function inside the decorators of oslo.versionedobjects, which hide its signature."""
    while True:
        if isinstance(thing, classmethod | staticmethod):
            thing = thing.__func__
        elif hasattr(thing, "original_fn"):
            thing = thing.original_fn
        elif hasattr(thing, "__wrapped__"):
            thing = thing.__wrapped__
        else:
            return thing


def _around_classmethod(original: Any, observer: Observer, names: list[str], call: Caller) -> Callable[..., Any]:
    def wrapper(cls: type, *args: Any, **kwargs: Any) -> Any:
        after = _before(observer, sys._getframe(1), names, args, kwargs)
        return call(original.__get__(None, cls), args, kwargs, after)

    return _like(original.__func__, wrapper)


def _around_function(
    original: Callable[..., Any], observer: Observer, names: list[str], call: Caller
) -> Callable[..., Any]:
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        after = _before(observer, sys._getframe(1), names, args, kwargs)
        return call(original, args, kwargs, after)

    return _like(original, wrapper)


def _call(original: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], after: After) -> Any:
    result = original(*args, **kwargs)
    _after(after)
    return result


def _call_to_the_end(original: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], after: After) -> Any:
    try:
        result = original(*args, **kwargs)
    except BaseException as error:
        _after(after, error, None)
        raise
    _after(after, None, result)
    return result


def _like(original: Any, wrapper: Callable[..., Any]) -> Callable[..., Any]:
    """Copy the attributes that Nova and oslo.versionedobjects read from the original to the wrapper."""
    for name in ("__name__", "__qualname__", "__doc__", "__module__", "remotable", "original_fn"):
        if hasattr(original, name):
            setattr(wrapper, name, getattr(original, name))
    return wrapper


def _before(
    observer: Observer,
    caller: FrameType,
    names: list[str],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> Callable[..., None] | None:
    producer = _tap.producer
    if producer is None:
        return None
    try:
        if observe.is_nested(caller):
            return None
        return observer(producer, caller, dict(zip(names, args, strict=False)) | kwargs)
    except Exception as error:  # noqa: BLE001 - this runs inside the action
        LOG.debug("stumble missed a call: %s", error)
        return None


def _after(after: After, *ended: Any) -> None:
    if after is None:
        return
    try:
        after(*ended)
    except Exception as error:  # noqa: BLE001 - this runs inside the action
        LOG.debug("stumble missed a call: %s", error)


def _put(owner: Any, name: str, original: Any, wrapper: Any) -> None:
    """Replace the original by the wrapper on its owner, and in each Nova module that imported it by name."""
    holders = [owner]
    if isinstance(owner, ModuleType):
        for module_name, module in list(sys.modules.items()):
            if module_name.startswith("nova.") and module is not owner and vars(module).get(name) is original:
                holders.append(module)
    for holder in holders:
        setattr(holder, name, wrapper)
        _tap.undo.append(lambda holder=holder: setattr(holder, name, original))  # type: ignore[misc]
