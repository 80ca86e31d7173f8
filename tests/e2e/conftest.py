"""A stack for each test: an empty database, topics of its own, and the instances that the test starts."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.stack import FaultBroker, Stack
from tools.stack.postgres import Postgres


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultBroker]:
    """A running Apache Kafka that notices dead consumers soon. A test that stops it starts it again."""
    server = FaultBroker(tmp_path_factory.mktemp("Broker"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def stack(postgres: Postgres, broker: FaultBroker, database_url: str, tmp_path: Path) -> Iterator[Stack]:
    """Everything but the instances; those are killed at the end."""
    made = Stack(tmp_path, postgres, broker, database_url)
    made.create_topics()
    yield made
    made.kill_instances()
