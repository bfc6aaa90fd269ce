"""The schedule: a list of faults that follows from the seed alone, saved as a file."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from random import Random

#: Seconds that a group waits for a member, and that another alerter waits for a lease.
SESSION, LEASE = 6.0, 10.0
CONNECTIONS = ("roles", "edge", "database", "registry")
KILL_PERMANENTLY = "kill permanently"
RESTORE, FAIL_OVER = "restore an earlier state of", "replace by a standby that lacks commits"
#: The transactional producer.
TRANSACTIONS = "transactions"
#: Seconds of a Kafka outage: a third of the run between these limits.
OUTAGE_SECONDS = (22.0, 600.0)
#: Seconds of a run that is long enough for a server that is silent for longer than health may take to notice it.
LONG_RUN = 300.0
#: Seconds that a server needs to be available again after a fault.
RECOVERY = 5.0
MODES = ("stall", "reset", "delay", "refuse")


@dataclass(frozen=True, order=True)
class Fault:
    """``at`` seconds after the begin, fault ``what`` happens to ``whom`` and lasts ``seconds``."""

    at: float
    what: str
    whom: str
    seconds: float = 0.0

    def __str__(self) -> str:
        return f"{self.what} {self.whom}" + (f" for {self.seconds:.1f} s" if self.seconds else "")


@dataclass(frozen=True)
class Cast:
    """The possible targets of faults."""

    hosts: tuple[str, ...]
    emitters: tuple[str, ...]
    projectors: tuple[str, ...]

    @property
    def permanently_dead(self) -> str:
        """The host that dies permanently; it has no other fault."""
        return self.hosts[-1]

    @property
    def attacked(self) -> str:
        """The host with a hostile local user and a compromised service."""
        return self.hosts[1]

    @property
    def clock_ahead(self) -> str:
        """The host whose clock is ten years ahead."""
        return self.hosts[2]

    @property
    def clock_of_1970(self) -> str:
        """The host whose clock began in 1970."""
        return self.hosts[3]

    def of_host(self, host: str) -> tuple[str, ...]:
        """Return the emitters of a host."""
        return tuple(name for name in self.emitters if host_of(name) == host)


def host_of(emitter: str) -> str:
    """Return the host of an emitter (``emitter3.1``)."""
    return "host" + emitter.removeprefix("emitter").partition(".")[0]


def plan(seed: int, seconds: float, cast: Cast, *, every: float) -> list[Fault]:
    """Return faults over ``seconds``: each kind at least once, then at random, one in about ``every`` seconds."""
    rng = Random(f"chaos:{seed}")
    kinds = _kinds(cast, rng)
    count = max(len(kinds), int(seconds / every))
    chosen = [kind() for kind in kinds] + [rng.choice(kinds)() for _ in range(count - len(kinds))]
    rng.shuffle(chosen)
    step = seconds / len(chosen)
    faults = [Fault(round(step * (number + rng.random()), 2), *fault) for number, fault in enumerate(chosen)]
    outages = _outages(seconds, rng)
    faults += _losses(seconds, rng)
    faults = [_beside(outages, fault, seconds, rng) for fault in faults]
    dead = Fault(round(seconds * rng.uniform(0.4, 0.5), 2), KILL_PERMANENTLY, cast.permanently_dead)
    return sorted([*faults, *outages, dead])


def _outages(seconds: float, rng: Random) -> list[Fault]:
    """Return the faults of the servers that last so long that health must show them."""
    low, high = OUTAGE_SECONDS
    outage = Fault(seconds * rng.uniform(0.35, 0.45), "kill", "broker", min(max(low, seconds / 3), high))
    if seconds < LONG_RUN:
        return [outage]
    return [
        Fault(seconds * rng.uniform(0.03, 0.08), "pause", "broker", 42),
        Fault(seconds * rng.uniform(0.03, 0.08), "kill", "database", 20),
        outage,
        Fault(seconds * rng.uniform(0.82, 0.84), "pause", "database", 42),
    ]


def _losses(seconds: float, rng: Random) -> list[Fault]:
    """Return the restores and failovers of the database: one of each in ten minutes; they last as long as the loss."""
    longest = min(seconds / 10, 60)
    places = (FAIL_OVER, 0.1, 0.3), (RESTORE, 0.7, 0.85)
    return [
        Fault(seconds * rng.uniform(low, high), what, "database", round(rng.uniform(longest / 2, longest), 2))
        for _ in range(max(1, int(seconds // 600)))
        for what, low, high in places
    ]


def _beside(outages: list[Fault], fault: Fault, seconds: float, rng: Random) -> Fault:
    """Return the fault at a time at which it does not end an outage of the same server, or hide its begin."""
    while any(is_same_server(outage, fault) and overlap(outage, fault) for outage in outages):
        fault = replace(fault, at=round(rng.uniform(0, seconds), 2))
    return fault


def is_same_server(one: Fault, other: Fault) -> bool:
    """Return whether both change the connection to one server."""
    return any({one.whom, other.whom} <= group for group in ({"broker", "roles", "edge"}, {"database"}))


def overlap(one: Fault, other: Fault) -> bool:
    """Return whether the faults overlap, with the time in which the server becomes available again."""
    return one.at < other.at + other.seconds + RECOVERY and other.at < one.at + one.seconds + RECOVERY


def _kinds(cast: Cast, rng: Random):
    def fault_for(*names: str):
        return lambda what, low=0.0, high=0.0: lambda: (
            what, rng.choice(names), round(rng.uniform(low, high), 2)
        )  # fmt: skip

    live_hosts = cast.hosts[:-1]
    emitters = tuple(name for name in cast.emitters if host_of(name) != cast.permanently_dead)
    relays = tuple(f"relay-{host}" for host in live_hosts)
    all_roles = (
        fault_for(*cast.projectors),
        fault_for(*relays),
        fault_for(*emitters),
        fault_for("alerter"),
        fault_for("reader"),
    )
    return [
        *(
            target("kill", 0.5, 3.0)
            for target in (*all_roles, fault_for("receiver"), fault_for("broker"), fault_for("database"))
        ),
        fault_for(*cast.projectors)("pause", SESSION + 2, SESSION + 5),
        fault_for(*relays)("pause", 3, 8),
        fault_for("alerter")("pause", LEASE + 2, LEASE + 4),
        fault_for("reader")("pause", SESSION + 2, SESSION + 4),
        fault_for("broker")("pause", 3, 8),
        fault_for("database")("pause", 3, 8),
        fault_for(cast.hosts[0])("fill the disk of", 4, 8),
        fault_for(*live_hosts)("damage the outbox of"),
        fault_for(*live_hosts)("truncate the outbox of"),
        *(
            fault_for(connection)(mode, 2, 7)
            for connection, mode in zip(CONNECTIONS, rng.sample(MODES, len(CONNECTIONS)), strict=True)
        ),
        fault_for(*CONNECTIONS)(rng.choice(MODES), 2, 7),
        fault_for("registry")("stop", 6, 9),
        fault_for(TRANSACTIONS)("kill", 0.5, 3.0),
        fault_for(TRANSACTIONS)("pause", 3, 8),
        fault_for("topic")("poison"),
    ]


def save(path: Path, faults: list[Fault]) -> None:
    path.write_text("".join(json.dumps(asdict(fault)) + "\n" for fault in faults))


def load(path: Path) -> list[Fault]:
    """Read a schedule that :func:`save` wrote."""
    return [Fault(**json.loads(line)) for line in path.read_text().splitlines()]
