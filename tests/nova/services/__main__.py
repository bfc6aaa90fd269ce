"""Play the whole table of restarts and write docs/nova-restarts.md: ``python -m tests.nova.services``."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from stumble.local.kafka import LocalKafka
from stumble.local.postgres import LocalPostgres
from tests.nova.pipeline import Pipeline
from tests.nova.services import report, restarts, table
from tests.nova.services.cloud import Services


def main() -> int:
    """Start everything, play, write the page; 1 if a record was wrong."""
    command = [sys.executable, str(report.ROOT / "scripts" / "nova_env.py"), "--nova", report.VERSION]
    made = subprocess.run(command, check=False, stdout=subprocess.PIPE, text=True)
    if made.returncode:
        return 1
    with tempfile.TemporaryDirectory(prefix="stumble-restarts-") as folder:
        state = Path(folder)
        kafka = LocalKafka(state / "kafka", heap="256m", quick=True)
        postgres = LocalPostgres(state / "postgres", fsync=False, options={"max_connections": "300"})
        numbers = iter(range(100))
        try:
            bootstrap = kafka.start()
            postgres.start()
            database = postgres.create_database("stumble")
            pipeline = Pipeline(state / "pipeline", bootstrap_servers=bootstrap, database_url=database)
            pipeline.environment |= restarts.SETTINGS
            with (
                pipeline,
                Services(
                    state / "nova",
                    Path(made.stdout.strip()),
                    lambda: postgres.create_database(f"nova{next(numbers)}"),
                    pipeline.outbox,
                ) as cloud,
            ):
                results = restarts.run(cloud, pipeline, table.RESTARTS)
        finally:
            postgres.stop()
            kafka.stop()
    report.write(results)
    wrong = {name: one["wrong"] for name, one in results.items() if one["wrong"]}
    for name, differences in wrong.items():
        print(f"{name}: {'; '.join(differences)}")
    print(f"{len(results) - len(wrong)} of {len(results)} are right; {report.PAGE} is written")
    return int(bool(wrong))


if __name__ == "__main__":
    raise SystemExit(main())
