"""One run: start everything, hurt it by a seeded schedule, let it come to rest, judge."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random

import psycopg

from tests.chaos import schedule
from tests.chaos.audit import Auditor, Check
from tests.chaos.emitting import ENTRY, JOURNAL
from tests.chaos.faults import Doer
from tests.chaos.fleet import MICROS, Plan, Shift
from tests.chaos.poison import Poisoner
from tests.chaos.schedule import Cast, Fault
from tests.chaos.world import World

Say = Callable[[str], None]
_TELL_EVERY = 5.0
_TURN = 0.05


@dataclass(frozen=True)
class Size:
    """How large a run is. ``every``: seconds between two faults, about."""

    seconds: float = 300.0
    hosts: int = 10
    emitters_per_host: int = 1
    projectors: int = 3
    requests_per_second: float = 1.0
    every: float = 4.0
    patience: float = 120.0


SHORT = Size(seconds=60.0, hosts=4, projectors=2, requests_per_second=3.0, every=2.5)


def cast_of(size: Size) -> Cast:
    return Cast(
        tuple(f"host{number}" for number in range(1, size.hosts + 1)),
        tuple(f"emitter{host}.{n}" for host in range(1, size.hosts + 1) for n in range(1, size.emitters_per_host + 1)),
        tuple(f"projector-{number}" for number in range(1, size.projectors + 1)),
    )


def plans_of(size: Size, seed: int, cast: Cast) -> dict[str, Plan]:
    """Return what each emitter tells; the clock of one in three is wrong for a while."""
    rng = Random(f"plans:{seed}")
    start_us = int(time.time() * MICROS)
    made = {}
    for number, name in enumerate(cast.emitters):
        shifts = ()
        if number % 3 == 0:
            begin = rng.uniform(0.2, 0.5) * size.seconds
            by = rng.choice((-1, 1)) * rng.uniform(5, 90)
            shifts = (Shift(begin, begin + 0.2 * size.seconds, by),)
        made[name] = Plan(seed * 1000 + number, start_us, size.seconds, size.requests_per_second, shifts)
    return made


def run(folder: Path, size: Size, seed: int, say: Say, faults: list[Fault] | None = None) -> list[Check]:
    """Run and judge; `faults` instead of those of the seed. What was done when lies in FOLDER/done.log."""
    cast = cast_of(size)
    faults = faults if faults is not None else schedule.plan(seed, size.seconds, cast, every=size.every)
    schedule.save(folder / "schedule.jsonl", faults)
    say(f"seed {seed}: {len(faults)} faults in {size.seconds:.0f} s, listed in {folder / 'schedule.jsonl'}")
    world = World(folder, cast, say)
    try:
        disk = world.mount_disk()
        say(
            f"the outbox of {cast.hosts[0]} lies on {disk or 'no disk of its own (nothing can be mounted): not filled'}"
        )
        world.start_servers()
        world.start_roles()
        plans = plans_of(size, seed, cast)
        for name, plan in plans.items():
            for shift in plan.shifts:
                say(f"the clock of {name} goes {shift.by:+.0f} s from {shift.begin:.0f} to {shift.end:.0f} s")
        poisoner = Poisoner(world.kafka.bootstrap_servers, seed)
        doer = Doer(world, poisoner, seed, folder / "done.log", say)
        world.start_emitters(plans)
        doer.begin(faults)
        _go_on(world, doer, poisoner, size, say)
        poisoner.flush()
        say("the faults are over; what was promised is compared with what is there")
        auditor = Auditor(world, plans, doer, poisoner.sent, world.look, size.patience)
        return [*auditor.judge(say), _all_done(doer, faults, world)]
    finally:
        world.close()


def _go_on(world: World, doer: Doer, poisoner: Poisoner, size: Size, say: Say) -> None:
    told = time.monotonic()
    deadline = told + size.seconds * 3 + 120
    while not (doer.over and world.emitters_done()):
        doer.turn()
        world.look()
        poisoner.poll()
        if time.monotonic() > told + _TELL_EVERY:
            told = time.monotonic()
            say(f"          … {_progress(world)}")
        if told > deadline:
            raise TimeoutError("the emitters don't come to their end")
        time.sleep(_TURN)


def _progress(world: World) -> str:
    tries = sum(
        (world.emitter(name) / JOURNAL).stat().st_size // ENTRY.size
        for name in world.cast.emitters
        if (world.emitter(name) / JOURNAL).exists()
    )
    try:
        with psycopg.connect(world.database_url, connect_timeout=1) as connection:
            row = connection.execute(
                "select (select count(*) from stumble_derived.events),"
                " (select count(*) from stumble_durable.publications),"
                " (select count(*) from stumble_durable.deliveries where delivered_at is not null)"
            ).fetchone()
    except psycopg.Error:
        return f"{tries} events emitted; the store is away"
    assert row
    return f"{tries} events emitted, {row[0]} stored, {row[1]} publications, {row[2]} webhooks"


def _all_done(doer: Doer, faults: list[Fault], world: World) -> Check:
    """Say what was done; a kind of fault that found nobody in the whole run was not tested."""
    never = [
        kind for kind, count in doer.done.items() if not count and not (kind.startswith("fill") and not world.disk)
    ]
    text = ", ".join(f"{kind} {count}" for kind, count in sorted(doer.done.items()))
    return Check(f"{len(faults)} faults done", text, [f"never done: {kind}" for kind in never])


def table(checks: list[Check]) -> str:
    """Return the verdict as a table."""
    width = max(len(check.name) for check in checks)
    lines = [f"{'right' if not check.wrong else 'WRONG'}  {check.name:<{width}}  {check.found}" for check in checks]
    return "\n".join(lines)


def fresh_folder(base: Path, seed: int) -> Path:
    """Make a folder for a run that no other run uses."""
    folder = base / f"{time.strftime('%H%M%S')}-seed{seed}-{os.getpid()}"
    folder.mkdir(parents=True)
    return folder
