"""A stack for each test: an empty database, topics of its own, and the instances that the test starts."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.stack import FaultBroker, Stack
from tools.stack.postgres import Postgres


@pytest.fixture
def stack(postgres: Postgres, broker: FaultBroker, database_url: str, tmp_path: Path) -> Iterator[Stack]:
    """Everything but the instances; those are killed at the end."""
    made = Stack(tmp_path, postgres, broker, database_url)
    made.create_topics()
    yield made
    made.kill_instances()
