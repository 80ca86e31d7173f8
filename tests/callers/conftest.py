"""Two instances of the service on topics of their own for all callers, and an old client that talks to them."""

from collections.abc import Iterator
from contextlib import closing
from uuid import uuid4

import pytest

from tests.callers.old_client import OldClient
from tests.callers.saga import Orchestrator
from tests.harness.stack import FaultBroker, Stack
from tools.stack.postgres import Postgres


@pytest.fixture(scope="package")
def service(postgres: Postgres, broker: FaultBroker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Two instances that no test stops."""
    name = f"callers_{uuid4().hex}"
    stack = Stack(tmp_path_factory.mktemp("service"), postgres, broker, postgres.create_database(name))
    stack.create_topics()
    stack.start(2)
    yield stack
    stack.kill_instances()
    postgres.drop_database(name)


@pytest.fixture(scope="package")
def url(service: Stack) -> str:
    """Where the first instance listens."""
    return service.instances[0].url


@pytest.fixture(scope="package")
def orchestrator(service: Stack) -> Iterator[Orchestrator]:
    """An old client of the two instances."""
    with closing(OldClient(service.broker.bootstrap, service.events_topic)) as client:
        yield Orchestrator(service, client)
