"""Make functions of real Nova fail, on the scenario's host and as often as it says."""

from __future__ import annotations

import concurrent.futures
import contextlib
import functools
import importlib
import inspect
import threading
from typing import TYPE_CHECKING, Any
from unittest import mock

from novaharness import hosts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from novaharness.vocabulary import Call, Fault


def resolve(path: str) -> tuple[Any, str]:
    """Return the owner and the last name of a dotted path; raises ImportError if it does not exist."""
    parts = path.split(".")
    for cut in range(len(parts) - 1, 0, -1):
        try:
            owner = importlib.import_module(".".join(parts[:cut]))
        except ModuleNotFoundError:
            continue
        for name in parts[cut:-1]:
            owner = getattr(owner, name)
        return owner, parts[-1]
    raise ImportError(f"{path} does not exist in this Nova")


def new_exception(fault: Fault) -> BaseException:
    """Return a new exception of the fault's class."""
    owner, name = resolve(fault.raises)
    return getattr(owner, name)(*fault.arguments, **fault.keywords)


def rolled_back(fault: Fault, original: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
    """Raise what a driver raises after a complete rollback: the cause inside InstanceFaultRollback."""
    from nova import exception

    raise exception.InstanceFaultRollback(inner_exception=new_exception(fault))


def raises_from(fault: Fault, original: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
    """Raise the fault's exception as the consequence of another one, which is not Nova's."""
    raise new_exception(fault) from OSError("no route to the hypervisor")


def guest_dies(
    fault: Fault, original: Callable[..., Any], driver: Any, context: Any, instance: Any, *args, **kw
) -> None:
    """Shut the guest down, and raise."""
    from nova.compute import power_state

    driver.instances[instance.uuid].state = power_state.SHUTDOWN
    raise new_exception(fault)


def job_fails(fault: Fault, original, driver, context, instance, dest, post, recover, *more, **kwargs) -> None:
    """Do what the libvirt driver does when the hypervisor's job fails: recover, and raise nothing."""
    recover(context, instance, dest, migrate_data=kwargs.get("migrate_data") or more[-1])


def job_timed_out(fault: Fault, original, driver, context, instance, dest, post, recover, *more, **kwargs) -> None:
    """Do what the libvirt driver does when it has aborted a job itself because it took too long."""
    recover(context, instance, dest, migrate_data=kwargs.get("migrate_data") or more[-1], migration_status="cancelled")


def answered_too_late(fault: Fault, original: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
    """Do the work, while the caller stops waiting for the answer."""
    import oslo_messaging

    original(*args, **kwargs)
    raise oslo_messaging.MessagingTimeout("Timed out waiting for a reply to message ID 1")


def hangs(fault: Fault, original: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
    """Never return; Nova counts as idle meanwhile."""
    with hosts.uncounted():
        threading.Event().wait()


class _FullExecutor:
    """An executor whose workers are all busy: new work waits in its queue."""

    def __init__(self, executor: Any):
        self._executor = executor

    def __getattr__(self, name: str) -> Any:
        return getattr(self._executor, name)

    def submit(self, work: Callable[..., Any], *_args: Any, **_kwargs: Any) -> concurrent.futures.Future[Any]:
        hosts.abandon(work)
        return concurrent.futures.Future()


def stays_queued(fault: Fault, original: Callable[..., Any], manager: Any, *args: Any, **kwargs: Any) -> Any:
    """Let the manager queue a live migration behind others that never end."""
    if hasattr(manager, "_live_migration_executor"):
        manager._live_migration_executor = _FullExecutor(manager._live_migration_executor)
        return original(manager, *args, **kwargs)
    from nova import thread_pool_factory  # since Nova 34

    def spawn_on(executor: Any, *work: Any, **named: Any) -> Any:
        queued = executor is thread_pool_factory.ExecutorType.LIVE_MIGRATION
        return concurrent.futures.Future() if queued else spawn(executor, *work, **named)

    spawn = thread_pool_factory.spawn_on
    with mock.patch.object(thread_pool_factory, "spawn_on", spawn_on):
        return original(manager, *args, **kwargs)


def with_migration_in_error(
    fault: Fault, original: Callable[..., Any], api, ctxt, instance, migration, *more, **kwargs
):
    """Pass a migration on whose status has become `error`."""
    migration.status = "error"
    return original(api, ctxt, instance, migration, *more, **kwargs)


def nothing(fault: Fault, original: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
    """Do nothing and return None."""


class Midway:
    """Sends API requests while another request is running; the player sets `send`."""

    send: Callable[[Call], str] = staticmethod(lambda _call: "")


def asks_midway(fault: Fault, original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Send the fault's API requests first, then call the function, or raise."""
    for call in fault.asks:
        Midway.send(call)
    if fault.raises:
        raise new_exception(fault)
    return original(*args, **kwargs)


def asks_after(fault: Fault, original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Call the function, then send the fault's API requests."""
    result = original(*args, **kwargs)
    for call in fault.asks:
        Midway.send(call)
    return result


def job_aborted(fault: Fault, original, driver, context, instance, dest, post, recover, *more, **kwargs) -> None:
    """Run until the fault's API request has reached the driver, then end as the libvirt driver ends an aborted job."""
    reached = threading.Event()
    driver.live_migration_abort = lambda _instance: reached.set()
    try:
        for call in fault.asks:
            Midway.send(call)
        reached.wait(20)
    finally:
        del driver.live_migration_abort
    recover(context, instance, dest, migrate_data=kwargs.get("migrate_data") or more[-1], migration_status="cancelled")


def job_forced(fault: Fault, original, driver, context, instance, dest, post, recover, *more, **kwargs) -> Any:
    """Run until the fault's API request has reached the driver, then continue to the end."""
    reached = threading.Event()
    force = driver.live_migration_force_complete

    def forced(one: Any) -> None:
        reached.set()
        force(one)

    driver.live_migration_force_complete = forced
    try:
        for call in fault.asks:
            Midway.send(call)
        reached.wait(20)
    finally:
        del driver.live_migration_force_complete
    return original(driver, context, instance, dest, post, recover, *more, **kwargs)


def returns(fault: Fault, original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Return the fault's argument instead."""
    return fault.arguments[0]


def in_error(
    fault: Fault, original: Callable[..., Any], api: Any, ctxt: Any, instance: Any, migration: Any, *more: Any
):
    """Pass a migration on that is in error by now."""
    migration.status = "error"
    return original(api, ctxt, instance, migration, *more)


def without_connection(fault: Fault, original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Return a block device that is not connected yet."""
    device = original(*args, **kwargs)
    device.connection_info = None
    device.obj_reset_changes()
    return device


def waits_for_nothing(fault: Fault, original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Return a context that expects no event of Cinder or Neutron: no fixture sends one."""
    return contextlib.nullcontext()


BEHAVIOURS: dict[str, Callable[..., Any]] = {
    "rolled back": rolled_back,
    "raises from": raises_from,
    "guest dies": guest_dies,
    "job fails": job_fails,
    "nothing": nothing,
    "asks midway": asks_midway,
    "asks after": asks_after,
    "job aborted": job_aborted,
    "job forced": job_forced,
    "job timed out": job_timed_out,
    "answered too late": answered_too_late,
    "hangs": hangs,
    "stays queued": stays_queued,
    "with migration in error": with_migration_in_error,
    "returns": returns,
    "in error": in_error,
    "without connection": without_connection,
    "waits for nothing": waits_for_nothing,
}


def _wrapped(fault: Fault, original: Callable[..., Any]) -> Callable[..., Any]:
    remaining, skipped = [fault.times], [fault.after]

    @functools.wraps(original)
    def failing(*args: Any, **kwargs: Any) -> Any:
        if fault.host not in (None, hosts.current()) or remaining[0] == 0:
            return original(*args, **kwargs)
        if skipped[0]:
            skipped[0] -= 1
            return original(*args, **kwargs)
        if remaining[0] is not None:
            remaining[0] -= 1
        if fault.does:
            return BEHAVIOURS[fault.does](fault, original, *args, **kwargs)
        raise new_exception(fault)

    return failing


@contextlib.contextmanager
def failing(faults: Sequence[Fault]) -> Iterator[None]:
    """Apply the faults inside the block; several faults on one function apply one after another."""
    with contextlib.ExitStack() as undo:
        for fault in faults:
            owner, name = resolve(fault.where)
            raw = inspect.getattr_static(owner, name)
            wrapped = _wrapped(fault, getattr(owner, name))
            plain = inspect.isfunction(raw) or not inspect.isclass(owner)
            undo.callback(setattr, owner, name, raw)
            setattr(owner, name, wrapped if plain else staticmethod(wrapped))
        yield
