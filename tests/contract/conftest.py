"""One migrated database and one app for the session, called through Flask's test client; its threads do not run."""

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any

import psycopg2
import pytest
from flask import Flask
from psycopg2.extensions import connection as Connection
from psycopg2.extras import RealDictCursor
from werkzeug.test import Client, TestResponse

from app import create_app
from app.config.config import Settings
from app.database.schema import migrate
from tests.harness.builders import Caller
from tests.harness.door import open_door, through
from tools.stack.postgres import Postgres


def make_app(url: str, **settings: str) -> Flask:
    return create_app(Settings.load({"DATABASE_URL": url, "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1", **settings}))


class Tables:
    """Looks at the tables behind the service's back, and changes them."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._connection = self.connect()
        self._connection.autocommit = True

    def connect(self) -> Connection:
        return psycopg2.connect(self.url, connect_timeout=2)

    def rows(self, sql: str, *parameters: Any) -> list[dict[str, Any]]:
        with self._connection.cursor(cursor_factory=RealDictCursor) as cursor:
            cursor.execute(sql, parameters or None)
            return [dict(row) for row in cursor.fetchall()] if cursor.description else []

    def one(self, sql: str, *parameters: Any) -> Any:
        (row,) = self.rows(sql, *parameters)
        (value,) = row.values()
        return value

    def events(self, order_id: str) -> list[dict[str, Any]]:
        return self.rows("SELECT * FROM outbox WHERE aggregateid = %s ORDER BY id", order_id)

    def changes(self, order_id: str) -> list[dict[str, Any]]:
        return self.rows("SELECT * FROM order_changes WHERE order_id = %s ORDER BY version", order_id)

    @contextlib.contextmanager
    def row_locked(self, order_id: str) -> Iterator[None]:
        """Hold the lock of an order's row for the body, as a person in psql may."""
        with self._locked("orders", order_id):
            yield

    @contextlib.contextmanager
    def refusals_locked(self, order_id: str) -> Iterator[None]:
        """Hold the locks of an order's refused accepts for the body."""
        with self._locked("refused_accepts", order_id):
            yield

    @contextlib.contextmanager
    def _locked(self, table: str, order_id: str) -> Iterator[None]:
        with contextlib.closing(self.connect()) as holder, holder, holder.cursor() as cursor:
            cursor.execute(f"SELECT 1 FROM {table} WHERE order_id = %s FOR UPDATE", (order_id,))
            assert cursor.fetchone() is not None
            yield

    def close(self) -> None:
        self._connection.close()


def await_waiting(tables: Tables, sessions: int) -> None:
    """Block until so many sessions of the service wait for a lock."""
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    deadline = time.monotonic() + 5
    while tables.one(waiting) < sessions:
        assert time.monotonic() < deadline, "nobody waits for the lock"
        time.sleep(0.01)


@pytest.fixture(scope="session")
def url(postgres: Postgres) -> str:
    address = postgres.create_database("contract")
    migrate(make_app(address).extensions["settings"].database_url)
    return address


@pytest.fixture(scope="session")
def app(url: str) -> Flask:
    return make_app(url)


@pytest.fixture(scope="session")
def tables(url: str) -> Iterator[Tables]:
    found = Tables(url)
    yield found
    found.close()


@pytest.fixture
def new_caller(app: Flask) -> Callable[[], Caller]:
    return lambda: Caller(app.test_client())


@pytest.fixture
def api(new_caller: Callable[[], Caller]) -> Caller:
    return new_caller()


@pytest.fixture(scope="session")
def door(url: str) -> Iterator[int]:
    """The port of an app behind the service's own server, with the same database."""
    with open_door(make_app(url)) as port:
        yield port


@pytest.fixture
def loop_api(door: int) -> Caller:
    return Caller(Client(through(door), TestResponse))
