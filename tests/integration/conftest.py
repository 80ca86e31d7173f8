"""The fixtures of the tests on the real PostgreSQL and the real broker, in process."""

from collections.abc import Iterator
from contextlib import closing
from uuid import uuid4

import psycopg2
import pytest
from kafka import KafkaAdminClient

from app.config.config import Settings
from app.database import schema
from app.database.database import Database
from app.database.pool import Pool
from tests.harness.secure_broker import SecureBroker
from tests.harness.world import Wire, World
from tools.stack.broker import Broker
from tools.stack.postgres import Postgres


@pytest.fixture(scope="session")
def admin(broker: Broker) -> Iterator[KafkaAdminClient]:
    """The client of the broker that outlives a test."""
    with closing(KafkaAdminClient(bootstrap_servers=broker.bootstrap, reconnect_backoff_max_ms=200)) as client:
        yield client


@pytest.fixture
def wire(broker: Broker, admin: KafkaAdminClient) -> Wire:
    """A test's own clients of the broker; its world closes them."""
    return Wire(broker.bootstrap, admin)


@pytest.fixture(scope="session")
def template(postgres: Postgres) -> str:
    """A database at head to copy: a tenth of the time that the migrations take."""
    name = f"template_{uuid4().hex}"
    schema.migrate(postgres.create_database(name).replace("postgresql://", "postgresql+psycopg2://"))
    return name


@pytest.fixture
def database_url(postgres: Postgres, template: str) -> Iterator[str]:
    """The address of a new, empty database at head."""
    name = f"test_{uuid4().hex}"
    with closing(psycopg2.connect(postgres.url("postgres"))) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
    yield postgres.url(name)
    postgres.drop_database(name)


@pytest.fixture
def untouched(wire: Wire, broker: Broker, database_url: str) -> Iterator[World]:
    """Names without topics and without a service."""
    with closing(World(wire, broker.bootstrap, database_url)) as world:
        yield world


@pytest.fixture
def world(untouched: World) -> World:
    """Topics of its own, no service yet."""
    untouched.wire.create_topics(untouched.commands, untouched.events, untouched.letters)
    return untouched


@pytest.fixture
def running(world: World) -> World:
    """The same with one running service; commands may be sent at once."""
    world.start()
    return world


@pytest.fixture
def pool(database_url: str) -> Iterator[Pool]:
    """One connection to the test's own database."""
    made = Pool(Database(Settings.load({"DATABASE_URL": database_url}).database_url), 1)
    yield made
    made.drop_idle()


@pytest.fixture
def secured(secure: SecureBroker, database_url: str) -> Iterator[World]:
    """Topics of its own on that broker; the test's own clients come in by the plain listener."""
    with (
        secure.admin() as admin,
        closing(World(Wire(secure.bootstrap, admin), secure.bootstrap, database_url)) as world,
    ):
        world.wire.create_topics(world.commands, world.events, world.letters)
        yield world
