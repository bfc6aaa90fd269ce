"""Compare the taxonomy that ships with an installed Nova, and take in what is new.

Classes of older releases stay: hosts of a cloud are not upgraded in one night.
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
    """What an installed Nova has beside what ships."""

    installed_count: int
    #: New classes: name -> (base, code, blame that the rules give it).
    unknown: dict[str, tuple[str, int, str]] = field(default_factory=dict)
    #: Codes that changed: name -> (code that ships, code there).
    recoded: dict[str, tuple[int, int]] = field(default_factory=dict)
    #: Classes that ship and are not there, of an older or newer release.
    absent: tuple[str, ...] = ()


def compare(installed: Classes) -> TaxonomyComparison:
    """Compare what ships with the classes of an installed Nova."""
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


def write(installed: Classes, path: Path = FILE) -> None:
    """Take in the classes of an installed Nova: new ones are added, codes follow it, nothing is taken out."""
    merged = sorted({**known_classes(), **installed}.items())
    lines = ",\n".join(f"{json.dumps(name)}: {json.dumps(list(row))}" for name, row in merged)
    path.write_text(f"{{\n{lines}\n}}\n", encoding="utf-8")
