"""Write the list of jars that the local Kafka runs from: exact versions, sizes and SHA-256.

Run it when Kafka's version changes: ``.venv/bin/python scripts/lock_kafka.py 4.4.0``.
It needs jgo (the `dev` extra), which resolves the dependencies as Maven would.
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import jgo
from jgo.config import GlobalSettings

LOCK = Path(__file__).parent.parent / "deploy/stumble/local/kafka.lock"
#: log4j bindings need a matching log4j-core to start; slf4j-simple needs nothing.
EXTRA = "org.slf4j:slf4j-simple:1.7.36"


def main(version: str) -> None:
    """Resolve Kafka `version` and write one line per jar: sha256, size, path below a Maven repository."""
    environment = jgo.build(f"org.apache.kafka:kafka_2.13:{version}+{EXTRA}", update=True)
    names = {jar.name for folder in ("jars", "modules") for jar in (environment.path / folder).glob("*.jar")}
    repository = GlobalSettings.load().repo_cache
    lines = []
    for jar in sorted(path for path in repository.rglob("*.jar") if path.name in names):
        data = jar.read_bytes()
        digest = hashlib.sha256(data).hexdigest()
        lines.append(f"{digest} {len(data)} {jar.relative_to(repository).as_posix()}\n")
    if len(lines) != len(names):
        raise SystemExit(f"{len(names)} jars resolved, but {repository} contains {len(lines)} of them")
    LOCK.write_text(f"# Apache Kafka {version}: sha256, bytes, path below a Maven repository\n" + "".join(lines))


if __name__ == "__main__":
    main(sys.argv[1])
