"""Compares the shipped taxonomy with an installed Nova and the libraries beside it, and adds new classes.

Classes of older releases are not removed: the hosts of a cloud are not all upgraded at the same time. Classes of
libraries that are not Python source (libvirt; rbd and rados of Ceph, from ``src/pybind``) were added once and stay.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from stumble.wire.taxonomy.classify import blame_of, known_classes
from stumble.wire.taxonomy.libraries import library_classes

FILE = Path(__file__).with_name("nova_classes.json")
LIBRARY_FILE = Path(__file__).with_name("library_classes.json")
Classes = Mapping[str, tuple[str, int]]
Libraries = Mapping[str, tuple[str, ...]]


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


def new_library_classes(installed: Libraries) -> dict[str, tuple[str, ...]]:
    """Return the classes of installed libraries that the shipped names lack: name -> libraries."""
    known = library_classes()
    absent = {name: tuple(sorted(set(owners) - set(known.get(name, ())))) for name, owners in installed.items()}
    return {name: owners for name, owners in absent.items() if owners}


def write_library_classes(installed: Libraries, path: Path = LIBRARY_FILE) -> None:
    """Write the shipped names merged with those of installed libraries; none is removed."""
    known = library_classes()
    merged = {name: sorted({*known.get(name, ()), *installed.get(name, ())}) for name in sorted({**known, **installed})}
    lines = ",\n".join(f"{json.dumps(name)}: {json.dumps(owners)}" for name, owners in merged.items())
    path.write_text(f"{{\n{lines}\n}}\n", encoding="utf-8")
