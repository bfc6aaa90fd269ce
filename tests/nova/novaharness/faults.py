"""Make functions of real Nova fail, on the host and as often as a scenario says."""

from __future__ import annotations

import contextlib
import functools
import importlib
import inspect
import threading
from typing import TYPE_CHECKING, Any

from novaharness import hosts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from novaharness.vocabulary import Call, Fault


def resolve(path: str) -> tuple[Any, str]:
    """Return the owner and the last name of a dotted path; raises ImportError if there is no such thing."""
    parts = path.split(".")
    for cut in range(len(parts) - 1, 0, -1):
        try:
            owner = importlib.import_module(".".join(parts[:cut]))
        except ModuleNotFoundError:
            continue
        for name in parts[cut:-1]:
            owner = getattr(owner, name)
        return owner, parts[-1]
    raise ImportError(f"no such thing in this Nova: {path}")


def make(fault: Fault) -> BaseException:
    """Return a new exception of the fault's class."""
    owner, name = resolve(fault.raises)
    return getattr(owner, name)(*fault.arguments, **fault.keywords)


def rolled_back(fault: Fault, original: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
    """Raise what a driver raises that has put everything back: the cause inside InstanceFaultRollback."""
    from nova import exception

    raise exception.InstanceFaultRollback(inner_exception=make(fault))


def guest_dies(
    fault: Fault, original: Callable[..., Any], driver: Any, context: Any, instance: Any, *args, **kw
) -> None:
    """Raise, and leave the guest shut down."""
    from nova.compute import power_state

    driver.instances[instance.uuid].state = power_state.SHUTDOWN
    raise make(fault)


def job_fails(fault: Fault, original, driver, context, instance, dest, post, recover, *more, **kwargs) -> None:
    """Do what the libvirt driver does when the hypervisor's job fails: recover, and raise nothing."""
    recover(context, instance, dest, migrate_data=kwargs.get("migrate_data") or more[-1])


def nothing(fault: Fault, original: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
    """Do nothing and return None."""


class Midway:
    """Asks the API while something else is under way: the player puts its own way of asking here."""

    make: Callable[[Call], str] = staticmethod(lambda _call: "")


def asks_midway(fault: Fault, original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Let the API be asked for something else first, then do the work, or raise."""
    for call in fault.asks:
        Midway.make(call)
    if fault.raises:
        raise make(fault)
    return original(*args, **kwargs)


def asks_after(fault: Fault, original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Do the work, then let the API be asked for something else."""
    result = original(*args, **kwargs)
    for call in fault.asks:
        Midway.make(call)
    return result


def job_aborted(fault: Fault, original, driver, context, instance, dest, post, recover, *more, **kwargs) -> None:
    """Run until what is asked midway has reached the driver, then end as the libvirt driver ends an aborted job."""
    reached = threading.Event()
    driver.live_migration_abort = lambda _instance: reached.set()
    try:
        for call in fault.asks:
            Midway.make(call)
        reached.wait(20)
    finally:
        del driver.live_migration_abort
    recover(context, instance, dest, migrate_data=kwargs.get("migrate_data") or more[-1], migration_status="cancelled")


def job_forced(fault: Fault, original, driver, context, instance, dest, post, recover, *more, **kwargs) -> Any:
    """Run until what is asked midway has reached the driver, then go on to the end."""
    reached = threading.Event()
    force = driver.live_migration_force_complete

    def forced(one: Any) -> None:
        reached.set()
        force(one)

    driver.live_migration_force_complete = forced
    try:
        for call in fault.asks:
            Midway.make(call)
        reached.wait(20)
    finally:
        del driver.live_migration_force_complete
    return original(driver, context, instance, dest, post, recover, *more, **kwargs)


def returns(fault: Fault, original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Return the fault's argument instead."""
    return fault.arguments[0]


def waits_for_nothing(fault: Fault, original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Return a context that expects no event of Cinder or Neutron: no fixture sends one."""
    return contextlib.nullcontext()


BEHAVIOURS: dict[str, Callable[..., Any]] = {
    "rolled back": rolled_back,
    "guest dies": guest_dies,
    "job fails": job_fails,
    "nothing": nothing,
    "asks midway": asks_midway,
    "asks after": asks_after,
    "job aborted": job_aborted,
    "job forced": job_forced,
    "returns": returns,
    "waits for nothing": waits_for_nothing,
}


def _wrapped(fault: Fault, original: Callable[..., Any]) -> Callable[..., Any]:
    left, well = [fault.times], [fault.after]

    @functools.wraps(original)
    def failing(*args: Any, **kwargs: Any) -> Any:
        if fault.host not in (None, hosts.current()) or left[0] == 0:
            return original(*args, **kwargs)
        if well[0]:
            well[0] -= 1
            return original(*args, **kwargs)
        if left[0] is not None:
            left[0] -= 1
        if fault.does:
            return BEHAVIOURS[fault.does](fault, original, *args, **kwargs)
        raise make(fault)

    return failing


@contextlib.contextmanager
def failing(faults: Sequence[Fault]) -> Iterator[None]:
    """Let the faults hold; several on one function are asked in turn."""
    with contextlib.ExitStack() as undo:
        for fault in faults:
            owner, name = resolve(fault.where)
            raw = inspect.getattr_static(owner, name)
            wrapped = _wrapped(fault, getattr(owner, name))
            plain = inspect.isfunction(raw) or not inspect.isclass(owner)
            undo.callback(setattr, owner, name, raw)
            setattr(owner, name, wrapped if plain else staticmethod(wrapped))
        yield
