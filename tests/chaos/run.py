"""One run: start all roles, inject faults by a seeded schedule, wait until all work is done, check."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random

import psycopg

from stumble.wire.topics import Topics
from tests.chaos import health, schedule
from tests.chaos.audit import Auditor, Check, print_check
from tests.chaos.emitting import ENTRY, JOURNAL
from tests.chaos.faults import FaultInjector
from tests.chaos.fleet import MICROS, Plan, Shift
from tests.chaos.poison import Poisoner
from tests.chaos.schedule import Cast, Fault, host_of
from tests.chaos.world import Deployment

PrintLine = Callable[[str], None]
DAY = 86_400
TEN_YEARS = 3_652 * DAY
_PROGRESS_EVERY = 5.0
_LOOP_PAUSE = 0.05


@dataclass(frozen=True)
class Size:
    """The size of a run. ``every``: average seconds between two faults."""

    seconds: float = 300.0
    hosts: int = 10
    emitters_per_host: int = 1
    projectors: int = 3
    requests_per_second: float = 1.0
    every: float = 4.0
    timeout: float = 120.0


SHORT = Size(seconds=80.0, hosts=5, projectors=2, requests_per_second=3.0, every=2.5)


def cast_of(size: Size) -> Cast:
    return Cast(
        tuple(f"host{number}" for number in range(1, size.hosts + 1)),
        tuple(f"emitter{host}.{n}" for host in range(1, size.hosts + 1) for n in range(1, size.emitters_per_host + 1)),
        tuple(f"projector-{number}" for number in range(1, size.projectors + 1)),
    )


def plans_of(size: Size, seed: int, cast: Cast) -> dict[str, Plan]:
    """Return the stream of each emitter; the clock of one in three is wrong for some time, two are always wrong."""
    rng = Random(f"plans:{seed}")
    start_us = int(time.time() * MICROS)
    always_wrong = wrong_clocks(cast, start_us // MICROS)
    plans = {}
    for number, name in enumerate(cast.emitters):
        shifts: tuple[Shift, ...] = ()
        if host_of(name) in always_wrong:
            shifts = (Shift(0.0, size.seconds * 100, always_wrong[host_of(name)]),)
        elif number % 3 == 0:
            begin = rng.uniform(0.2, 0.5) * size.seconds
            by = rng.choice((-1, 1)) * rng.uniform(5, 90)
            shifts = (Shift(begin, begin + 0.2 * size.seconds, by),)
        plans[name] = Plan(seed * 1000 + number, start_us, size.seconds, size.requests_per_second, shifts)
    return plans


def transactional_plan(size: Size, seed: int, start_us: int) -> Plan:
    """Return the stream of the transactional producer, with times that no clock has: of the year 9000, and of 1970."""
    shifts = (
        Shift(0.3 * size.seconds, 0.5 * size.seconds, 7000 * 365 * DAY),
        Shift(0.6 * size.seconds, 0.8 * size.seconds, 2 * DAY - start_us // MICROS),
    )
    return Plan(seed * 1000 + 500, start_us, size.seconds, size.requests_per_second / 2, shifts)


def wrong_clocks(cast: Cast, now: int) -> dict[str, int]:
    """Return the error of the clocks that are wrong during the whole run, in seconds, by host."""
    return {cast.clock_ahead: TEN_YEARS, cast.clock_of_1970: DAY - now}


def run(folder: Path, size: Size, seed: int, print_line: PrintLine, faults: list[Fault] | None = None) -> list[Check]:
    """Run and check; `faults` replaces those of the seed. FOLDER/done.log has the times of the faults."""
    cast = cast_of(size)
    faults = faults if faults is not None else schedule.plan(seed, size.seconds, cast, every=size.every)
    schedule.save(folder / "schedule.jsonl", faults)
    print_line(f"seed {seed}: {len(faults)} faults in {size.seconds:.0f} s, listed in {folder / 'schedule.jsonl'}")
    deployment = Deployment(folder, cast, print_line)
    try:
        disk = deployment.mount_disk()
        print_line(
            f"the outbox of {cast.hosts[0]} is on {disk or 'no disk of its own (mount is not allowed): not filled'}"
        )
        deployment.start_servers()
        clock_errors = wrong_clocks(cast, int(time.time()))
        deployment.start_roles(clock_errors)
        # The emitters begin when everything runs, or the first faults would find nothing to disturb.
        health.wait_until_ready({name: deployment.health_ports[name] for name in cast.projectors}, 90)
        plans = plans_of(size, seed, cast)
        transactional = transactional_plan(size, seed, int(time.time() * MICROS))
        for name, plan in plans.items():
            for shift in plan.shifts:
                print_line(
                    f"the clock of {name} is wrong by {shift.by:+.0f} s from {shift.begin:.0f} to {shift.end:.0f} s"
                )
        poisoner = Poisoner(deployment.kafka.bootstrap_servers, seed)
        poisoner.send_unreadable_header()
        injector = FaultInjector(deployment, poisoner, seed, folder / "done.log", print_line)
        deployment.start_emitters(plans, transactional, clock_errors)
        reader = health.HealthReader(deployment.health_ports, deployment.kafka.bootstrap_servers, Topics("").actions)
        injector.begin(faults)
        reader.start()
        _run_until_done(deployment, injector, poisoner, size, print_line)
        poisoner.flush()
        print_line("all faults are done; store and topics are compared with the truth")
        auditor = Auditor(
            deployment, plans, transactional, injector, poisoner.sent, deployment.restart_ended, size.timeout
        )
        checks = auditor.check_all(print_line)
        reader.stop()
        health.save(folder / "health.jsonl", reader.answers, [*injector.interruptions, *reader.outages])
        for check in (_check_health(reader, injector), _check_faults(injector, faults, deployment)):
            print_check(check, print_line)
            checks.append(check)
        return checks
    finally:
        deployment.close()


def _run_until_done(
    deployment: Deployment, injector: FaultInjector, poisoner: Poisoner, size: Size, print_line: PrintLine
) -> None:
    last_progress = time.monotonic()
    deadline = last_progress + size.seconds * 3 + 120
    while not (injector.finished and deployment.emitters_done()):
        injector.run_due()
        deployment.restart_ended()
        poisoner.poll()
        if time.monotonic() > last_progress + _PROGRESS_EVERY:
            last_progress = time.monotonic()
            print_line(f"          … {_progress(deployment)}")
        if last_progress > deadline:
            raise TimeoutError("the emitters did not finish in time")
        time.sleep(_LOOP_PAUSE)


def _progress(deployment: Deployment) -> str:
    tries = sum(
        (deployment.emitter(name) / JOURNAL).stat().st_size // ENTRY.size
        for name in deployment.cast.emitters
        if (deployment.emitter(name) / JOURNAL).exists()
    )
    try:
        with psycopg.connect(deployment.database_url, connect_timeout=1) as connection:
            row = connection.execute(
                "select (select count(*) from stumble_derived.events),"
                " (select count(*) from stumble_durable.publications),"
                " (select count(*) from stumble_durable.deliveries where delivered_at is not null)"
            ).fetchone()
    except psycopg.Error:
        return f"{tries} events emitted; the store is unavailable"
    assert row
    return f"{tries} events emitted, {row[0]} stored, {row[1]} publications, {row[2]} webhooks"


def _check_faults(injector: FaultInjector, faults: list[Fault], deployment: Deployment) -> Check:
    """Return the counts of the faults; a kind of fault that was never possible was not tested."""
    never_done = [
        kind
        for kind, count in injector.done.items()
        if not count and not (kind.startswith("fill") and not deployment.disk)
    ]
    text = ", ".join(f"{kind} {count}" for kind, count in sorted(injector.done.items()))
    return Check(f"{len(faults)} faults done", text, [f"never done: {kind}" for kind in never_done])


def _check_health(reader: health.HealthReader, injector: FaultInjector) -> Check:
    result = health.judge(reader.answers, [*injector.interruptions, *reader.outages])
    summary = f"{len(reader.answers)} answers, {result.bad} had to be bad, {result.good} had to be good"
    return Check("health, read each second, is right", summary, result.wrong)


def table(checks: list[Check]) -> str:
    """Return the results as a table."""
    width = max(len(check.name) for check in checks)
    lines = [f"{'right' if not check.wrong else 'WRONG'}  {check.name:<{width}}  {check.summary}" for check in checks]
    return "\n".join(lines)


def new_folder(base: Path, seed: int) -> Path:
    """Create a new folder for a run."""
    folder = base / f"{time.strftime('%H%M%S')}-seed{seed}-{os.getpid()}"
    folder.mkdir(parents=True)
    return folder
