"""The fleet: cells, hosts, projects, flavors, images and instances, all generated from the seed."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random

_CELLS = 2
_HOSTS_PER_CELL = 20
_FLAVORS = ("m1.small", "m1.medium", "m1.large", "c5.xlarge", "g2.2xlarge")
_ZONES = ("az-1", "az-2", "az-3")
_ROLES = ("web", "db", "cache", "worker", "build", "gw")


def draw_uuid(rng: Random) -> str:
    """Return a random uuid as text."""
    text = f"{rng.getrandbits(128) & ~(0xF << 76 | 0x3 << 62) | 0x4 << 76 | 0x2 << 62:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


@dataclass(frozen=True, slots=True)
class Project:
    """A project and one of its users; ids in Keystone's format."""

    project_id: str
    user_id: str


@dataclass(slots=True)
class SimulatedInstance:
    """A server of the fleet. `vm_state` is Nova's; `resized` means VERIFY_RESIZE."""

    uuid: str
    name: str
    project: Project
    cell: int
    host: str
    flavor: str
    image: str
    zone: str
    vm_state: str = "active"


@dataclass(slots=True)
class SimulatedFleet:
    """Idle instances by state; an instance whose story runs is in no list.

    The same `rng` state gives the same fleet. `size` is the initial and intended number of instances.
    """

    size: int
    rng: Random
    idle: dict[str, list[SimulatedInstance]] = field(default_factory=dict)
    projects: tuple[Project, ...] = ()
    images: tuple[str, ...] = ()
    admin: Project = field(init=False)
    alive: int = 0

    def __post_init__(self) -> None:
        rng = self.rng
        count = max(3, min(200, self.size // 10))
        self.projects = tuple(self._project() for _ in range(count))
        self.admin = self._project()
        self.images = tuple(draw_uuid(rng) for _ in range(8))
        for _ in range(self.size):
            instance = self.new_instance()
            instance.vm_state = "stopped" if rng.random() < 0.15 else "active"
            self.release(instance)

    def _project(self) -> Project:
        return Project(f"{self.rng.getrandbits(128):032x}", f"{self.rng.getrandbits(128):032x}")

    def new_instance(self) -> SimulatedInstance:
        """Return a new instance, which is in no list yet."""
        rng = self.rng
        cell = rng.randrange(_CELLS)
        self.alive += 1
        return SimulatedInstance(
            uuid=draw_uuid(rng),
            name=f"{rng.choice(_ROLES)}-{rng.randrange(1000):03d}",
            project=rng.choice(self.projects),
            cell=cell,
            host=self.host(cell),
            flavor=rng.choice(_FLAVORS),
            image=rng.choice(self.images),
            zone=rng.choice(_ZONES),
        )

    def host(self, cell: int, *others: str) -> str:
        """Return a random compute host of a cell, other than `others`."""
        while True:
            name = f"compute-{cell + 1}-{self.rng.randrange(_HOSTS_PER_CELL) + 1:02d}"
            if name not in others:
                return name

    def flavor_other_than(self, name: str) -> str:
        """Return a random flavor other than `name`."""
        return self.rng.choice([flavor for flavor in _FLAVORS if flavor != name])

    def take_idle(self, states: tuple[str, ...]) -> SimulatedInstance | None:
        """Remove a random idle instance in one of these states from the lists; return it, or None if there is none."""
        lists = [item for state in states if (item := self.idle.get(state))]
        total = sum(map(len, lists))
        if not total:
            return None
        index = self.rng.randrange(total)
        for item in lists:
            if index < len(item):
                item[index], item[-1] = item[-1], item[index]
                return item.pop()
            index -= len(item)
        return None

    def release(self, instance: SimulatedInstance) -> None:
        """Return an instance to the lists, unless it is deleted."""
        if instance.vm_state == "deleted":
            self.alive -= 1
        else:
            self.idle.setdefault(instance.vm_state, []).append(instance)
