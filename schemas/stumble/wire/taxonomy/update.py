"""Compares the shipped taxonomy with an installed Nova, and adds new classes.

Classes of older releases are not removed: the hosts of a cloud are not all upgraded at the same time.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from stumble.wire.taxonomy.classify import blame_of, known_classes

FILE = Path(__file__).with_name("nova_classes.json")
Classes = Mapping[str, tuple[str, int]]


@dataclass(frozen=True, slots=True)
class TaxonomyComparison:
    """Differences between the classes of an installed Nova and the shipped ones."""

    installed_count: int
    #: New classes: name -> (base, code, blame by the rules).
    unknown: dict[str, tuple[str, int, str]] = field(default_factory=dict)
    #: Codes that changed: name -> (shipped code, installed code).
    recoded: dict[str, tuple[int, int]] = field(default_factory=dict)
    #: Shipped classes that are not installed; they belong to an older or newer release.
    absent: tuple[str, ...] = ()


def compare_classes(installed: Classes) -> TaxonomyComparison:
    """Compare the shipped classes with those of an installed Nova."""
    known = known_classes()
    merged = {**known, **installed}
    return TaxonomyComparison(
        installed_count=len(installed),
        unknown={name: (*row, blame_of(name, merged)) for name, row in installed.items() if name not in known},
        recoded={
            name: (known[name][1], row[1])
            for name, row in installed.items()
            if name in known and known[name][1] != row[1]
        },
        absent=tuple(sorted(known.keys() - installed.keys())),
    )


def write_classes(installed: Classes, path: Path = FILE) -> None:
    """Write the shipped classes merged with those of an installed Nova, whose codes win; no class is removed."""
    merged = sorted({**known_classes(), **installed}.items())
    lines = ",\n".join(f"{json.dumps(name)}: {json.dumps(list(row))}" for name, row in merged)
    path.write_text(f"{{\n{lines}\n}}\n", encoding="utf-8")
