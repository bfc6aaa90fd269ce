"""A cloud of separate services, and a whole pipeline behind it, once per run: one worker plays everything."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.nova.pipeline import Pipeline
from tests.nova.services import restarts
from tests.nova.services.cloud import Services
from tests.support.rabbitmq import require_rabbitmq


@pytest.fixture(scope="session")
def pipeline(
    kafka: str, new_database: Callable[..., str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Pipeline]:
    """Relay, projector and API, with an outbox for the cloud."""
    state = tmp_path_factory.mktemp("pipeline")
    prefix = f"services-{uuid.uuid4().hex[:8]}-"
    services_pipeline = Pipeline(state, bootstrap_servers=kafka, database_url=new_database(), topic_prefix=prefix)
    services_pipeline.environment |= restarts.SETTINGS
    with services_pipeline:
        yield services_pipeline


@pytest.fixture(scope="session")
def services(
    nova_python: Path, new_database: Callable[..., str], pipeline: Pipeline, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Services]:
    """Nova's services as separate processes, with the one line in their nova.conf."""
    require_rabbitmq()
    state = tmp_path_factory.mktemp("nova")
    with Services(state, nova_python, new_database, pipeline.outbox, workers=2, max_requests=40) as cloud:
        yield cloud
