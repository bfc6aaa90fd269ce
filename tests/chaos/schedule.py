"""What breaks when: a list of faults that follows from the seed alone, kept as a file."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random

#: Seconds that a group waits for a member, and that another alerter waits for a lease.
SESSION, LEASE = 6.0, 10.0
LINKS = ("roles", "edge", "database", "registry")
BURY = "kill for good"
MODES = ("stall", "reset", "delay", "refuse")


@dataclass(frozen=True, order=True)
class Fault:
    """At ``at`` seconds after the begin ``what`` happens to ``whom``, for ``seconds``."""

    at: float
    what: str
    whom: str
    seconds: float = 0.0

    def __str__(self) -> str:
        return f"{self.what} {self.whom}" + (f" for {self.seconds:.1f} s" if self.seconds else "")


@dataclass(frozen=True)
class Cast:
    """Who there is to be hurt."""

    hosts: tuple[str, ...]
    emitters: tuple[str, ...]
    projectors: tuple[str, ...]

    @property
    def doomed(self) -> str:
        """The host that dies for good; nothing else happens to it."""
        return self.hosts[-1]

    def of_host(self, host: str) -> tuple[str, ...]:
        """Return the emitters of a host."""
        return tuple(name for name in self.emitters if host_of(name) == host)


def host_of(emitter: str) -> str:
    """Return the host that an emitter (``emitter3.1``) works on."""
    return "host" + emitter.removeprefix("emitter").partition(".")[0]


def plan(seed: int, seconds: float, cast: Cast, *, every: float) -> list[Fault]:
    """Return faults over ``seconds``: each kind at least once, then at random, one in about ``every`` seconds."""
    rng = Random(f"chaos:{seed}")
    kinds = _kinds(cast, rng)
    wanted = max(len(kinds), int(seconds / every))
    drawn = [kind() for kind in kinds] + [rng.choice(kinds)() for _ in range(wanted - len(kinds))]
    rng.shuffle(drawn)
    step = seconds / len(drawn)
    faults = [Fault(round(step * (number + rng.random()), 2), *fault) for number, fault in enumerate(drawn)]
    return sorted([*faults, Fault(round(seconds * rng.uniform(0.4, 0.5), 2), BURY, cast.doomed)])


def _kinds(cast: Cast, rng: Random):
    def some(*names: str):
        return lambda what, low=0.0, high=0.0: lambda: (
            what, rng.choice(names), round(rng.uniform(low, high), 2)
        )  # fmt: skip

    living = cast.hosts[:-1]
    emitters = tuple(name for name in cast.emitters if host_of(name) != cast.doomed)
    relays = tuple(f"relay-{host}" for host in living)
    everyone = some(*cast.projectors), some(*relays), some(*emitters), some("alerter"), some("reader")
    return [
        *(who("kill", 0.5, 3.0) for who in (*everyone, some("receiver"), some("broker"), some("database"))),
        some(*cast.projectors)("pause", SESSION + 2, SESSION + 5),
        some(*relays)("pause", 3, 8),
        some("alerter")("pause", LEASE + 2, LEASE + 4),
        some("reader")("pause", SESSION + 2, SESSION + 4),
        some("broker")("pause", 3, 8),
        some(cast.hosts[0])("fill the disk of", 4, 8),
        some(*living)("damage the outbox of"),
        some(*living)("tear the outbox of"),
        *(some(link)(mode, 2, 7) for link, mode in zip(LINKS, rng.sample(MODES, len(LINKS)), strict=True)),
        some(*LINKS)(rng.choice(MODES), 2, 7),
        some("registry")("take away", 6, 9),
        some("topic")("poison"),
    ]


def save(path: Path, faults: list[Fault]) -> None:
    path.write_text("".join(json.dumps(asdict(fault)) + "\n" for fault in faults))


def load(path: Path) -> list[Fault]:
    """Read a schedule that :func:`save` wrote."""
    return [Fault(**json.loads(line)) for line in path.read_text().splitlines()]
