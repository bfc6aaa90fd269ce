"""`make wheel`: write the wheel, its software bill of materials and the files to install it from into a folder.

The files, besides the wheel:

- ``stumble-VERSION.cdx.json``: a CycloneDX 1.6 document with every library of the lock files and every jar that the
  wheel's code can run, with the SHA-256 of the files that an index or a repository may serve for it.
- ``driver.txt``, ``cli.txt``, ``relay.txt`` …: requirement files for pip, one for each installation. Each one has the
  hashes of the wheel and of its libraries, and looks for the wheel in its own folder.

The same commit gives the same bytes, because no file contains a time or a path of this machine.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "deploy"))

from stumble.local.jars import Jar, locked_jars  # noqa: E402

REQUIREMENTS = ROOT / "requirements"
#: What Nova loads: the only installation that every other one contains.
DRIVER = "driver"
LOCKED = re.compile(r"^([a-z0-9-]+)==([^ ]+).*(?:\n +--hash=.*)+", re.MULTILINE)


def installations() -> list[str]:
    """Return the names of the installations that have a lock file; the tools that build the wheel are not one."""
    return sorted(path.stem for path in REQUIREMENTS.glob("*.txt") if path.stem != "build")


def build_wheel(folder: Path) -> Path:
    """Build the wheel with the tools of this environment and return its path."""
    command = [sys.executable, "-m", "build", "--no-isolation", "--wheel", "--outdir", str(folder), str(ROOT)]
    done = subprocess.run(command, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        raise SystemExit(f"{done.stdout}\nthe wheel cannot be built; the output above has the reason")
    return Path(folder, done.stdout.split("Successfully built ")[1].split()[-1])


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file as hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def requirements(installation: str, version: str, wheel: Path) -> str:
    """Return the requirement file of an installation: the wheel and its locked libraries."""
    return (
        f"# stumble and its libraries: pip install --requirement {installation}.txt\n"
        "--require-hashes\n--only-binary :all:\n--find-links .\n"
        f"stumble=={version} --hash=sha256:{sha256(wheel)}\n"
    ) + (REQUIREMENTS / f"{installation}.txt").read_text()


def component(kind: str, name: str, version: str, purl: str, hashes: list[str]) -> dict[str, Any]:
    """Return a component as CycloneDX describes it; its package URL is also its reference in the document."""
    digests = [{"alg": "SHA-256", "content": digest} for digest in hashes]
    return {"type": kind, "bom-ref": purl, "name": name, "version": version, "purl": purl, "hashes": digests}


def libraries() -> Iterator[dict[str, Any]]:
    """Yield a component for each locked library, with the installations that contain it as a property."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for installation in installations():
        for match in LOCKED.finditer((REQUIREMENTS / f"{installation}.txt").read_text()):
            name, version = match[1], match[2]
            purl = f"pkg:pypi/{name}@{version.replace('!', '%21')}"
            hashes = re.findall(r"sha256:([0-9a-f]{64})", match[0])
            library = found.setdefault((name, version), component("library", name, version, purl, hashes))
            library.setdefault("scope", "optional")
            if installation == DRIVER:
                library["scope"] = "required"
            library.setdefault("properties", []).append({"name": "stumble:installation", "value": installation})
    for key in sorted(found):
        yield found[key]


def jar_component(jar: Jar) -> dict[str, Any]:
    """Return the component of a jar, from its path group/artifact/version/artifact-version[-classifier].type."""
    group, artifact, version, file = jar.path.rsplit("/", 3)
    classifier, _, kind = file.removeprefix(f"{artifact}-{version}").lstrip("-").partition(".")
    purl = f"pkg:maven/{group.replace('/', '.')}/{artifact}@{version}"
    if kind != "jar":
        purl += f"?classifier={classifier}&type={kind}"
    elif classifier:
        purl += f"?classifier={classifier}"
    properties = [{"name": "stumble:installation", "value": "local"}]
    found = component("library", artifact, version, purl, [jar.sha256])
    return {**found, "group": group.replace("/", "."), "scope": "optional", "properties": properties}


def bill_of_materials(version: str, wheel: Path) -> dict[str, Any]:
    """Return the CycloneDX document of a wheel."""
    product = component("application", "stumble", version, f"pkg:pypi/stumble@{version}", [sha256(wheel)])
    product["licenses"] = [{"license": {"id": "Apache-2.0"}}]
    folder = ROOT / "deploy" / "stumble" / "local"
    jars = [jar for lock in sorted(folder.glob("*.lock")) for jar in locked_jars(lock)]
    components = [*libraries(), *map(jar_component, jars)]
    identity = json.dumps([product, components])
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": uuid.uuid5(uuid.NAMESPACE_URL, identity).urn,
        "version": 1,
        "metadata": {"component": product},
        "components": components,
    }


def main() -> None:
    """Write all files and print their names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=ROOT / "dist", help="where to write the files (dist)")
    folder: Path = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    wheel = build_wheel(folder)
    version = wheel.name.split("-")[1]
    files = {f"{name}.txt": requirements(name, version, wheel) for name in installations()}
    files[f"stumble-{version}.cdx.json"] = json.dumps(bill_of_materials(version, wheel), indent=1) + "\n"
    for name, text in files.items():
        (folder / name).write_text(text)
    print(f"{folder}: {', '.join([wheel.name, *files])}")


if __name__ == "__main__":
    main()
