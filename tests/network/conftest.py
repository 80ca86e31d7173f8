"""One service for a session of tests: what clients do to it ends with them."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.service import Instance
from tools.stack.postgres import Postgres

NOWHERE = "127.0.0.1:1"


@pytest.fixture(scope="session")
def settings(postgres: Postgres) -> Iterator[dict[str, str]]:
    """The environment of an instance that answers HTTP alone."""
    yield {
        "DATABASE_URL": postgres.create_database("network"),
        "KAFKA_BOOTSTRAP_SERVERS": NOWHERE,
        "ROLES": "api",
    }
    postgres.drop_database("network")


@pytest.fixture(scope="session")
def service(settings: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Instance]:
    """A running one. A test must leave it as it was."""
    instance = Instance(tmp_path_factory.mktemp("service"), settings)
    instance.start()
    yield instance
    instance.stop()


@pytest.fixture
def port(service: Instance) -> int:
    """Where it listens."""
    return service.port


@pytest.fixture
def own_service(settings: dict[str, str], tmp_path: Path) -> Iterator[Instance]:
    """One that is not started yet, for a test that stops it or sets something."""
    instance = Instance(tmp_path, settings)
    yield instance
    instance.thaw()
    instance.kill()
