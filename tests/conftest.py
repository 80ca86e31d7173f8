"""The real servers for the tests that ask for them, started at the first use and stopped at the end of the session."""

from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

import pytest

from tests.harness.cluster import Cluster
from tests.harness.secure_broker import SecureBroker
from tests.harness.setting import changed_since, names_now
from tests.harness.stack import FaultBroker, Stack
from tests.harness.tls import TlsPostgres
from tools.stack.errors import AlreadyRunning
from tools.stack.postgres import Postgres


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Refuse two tests of one name: pytest-xdist would run one of them, and say nothing."""
    twice = [name for name, number in Counter(item.nodeid for item in items).items() if number > 1]
    if twice:
        raise pytest.UsageError(f"several tests have one name, and only one of each would run: {', '.join(twice)}")


@pytest.fixture(scope="module", autouse=True)
def _settings_are_set_back() -> Iterator[None]:
    """What a file's tests set in the service, and leave so, would change the tests of other files."""
    before = names_now()
    yield
    assert changed_since(before) == [], "a test of this file did not set them back"


@pytest.fixture(scope="session", autouse=True)
def _no_leftovers(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Servers of earlier test sessions that were killed would take memory for ever."""
    sessions = next(folder for folder in tmp_path_factory.getbasetemp().parents if folder.name.startswith("pytest-of-"))
    leftovers: dict[str, type[FaultBroker | Postgres]] = {
        "FaultBroker": FaultBroker,
        "SecureBroker": FaultBroker,
        "Cluster": FaultBroker,
        "Postgres": Postgres,
        "TlsPostgres": Postgres,
    }
    # Where records are, and no deeper: Kafka takes folders of its data away while a session beside this one runs.
    places = [f"pytest-[0-9]*/{worker}{{}}*/{node}process.json" for worker in ("", "popen-*/") for node in ("", "*/")]
    for folder, kind in leftovers.items():
        for place in places:
            for record in sessions.glob(place.format(folder)):
                with suppress(AlreadyRunning):
                    kind(record.parent).clear_leftover()


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    """A running PostgreSQL that nobody stops: many tests keep connections to it."""
    server = Postgres(tmp_path_factory.mktemp("Postgres"))
    server.start()
    yield server
    server.kill()


@pytest.fixture(scope="session")
def tls_postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TlsPostgres]:
    """Debian's PostgreSQL, which takes TLS connections only. A test that gives it another certificate mends that."""
    server = TlsPostgres(tmp_path_factory.mktemp("TlsPostgres"))
    server.start()
    yield server
    server.kill()


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultBroker]:
    """A running Apache Kafka that notices dead consumers soon. A test that stops it starts it again."""
    server = FaultBroker(tmp_path_factory.mktemp("FaultBroker"))
    server.start()
    yield server
    server.kill()


@pytest.fixture(scope="session")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecureBroker]:
    """An Apache Kafka with TLS and logins, on which USER may do everything. What a test takes away it gives back."""
    server = SecureBroker(tmp_path_factory.mktemp("SecureBroker"))
    server.start()
    server.grant_all()
    yield server
    server.kill()


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Three running brokers. A test that kills or freezes one brings it back."""
    made = Cluster(tmp_path_factory.mktemp("Cluster"))
    made.start()
    yield made
    made.kill()


@pytest.fixture
def database_url(postgres: Postgres) -> Iterator[str]:
    """The address of a new, empty database."""
    name = f"test_{uuid4().hex}"
    yield postgres.create_database(name)
    postgres.drop_database(name)


@pytest.fixture
def stack(postgres: Postgres, broker: FaultBroker, database_url: str, tmp_path: Path) -> Iterator[Stack]:
    """Topics of its own and an empty database; the instances that the test starts are killed at the end."""
    made = Stack(tmp_path, postgres, broker, database_url)
    made.create_topics()
    yield made
    made.kill_instances()
