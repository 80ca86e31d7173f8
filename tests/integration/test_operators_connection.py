"""A process keeps one connection for its operations; nobody notices when it becomes another one."""

import os
import signal
from collections.abc import Iterator
from contextlib import closing, contextmanager

import psycopg2
import pytest
from sqlalchemy import Connection, text

from app.config.config import Settings
from app.database import kept
from app.database.one_transaction import OneTransaction
from app.database.orders_sql import LOAD_ORDERS
from app.database.schema import migrate
from app.models.operator_errors import DatabaseUnusable
from app.operations import transaction as transactions
from app.operations.transaction import transaction
from app.utils.deadline import Deadline

PID = text("SELECT pg_backend_pid()")


@pytest.fixture
def settings(database_url: str) -> Iterator[Settings]:
    transactions._engine.cache_clear()
    yield Settings.load({"DATABASE_URL": database_url})
    transactions._engine.cache_clear()


def session_of(settings: Settings, *, snapshot: bool = False) -> int:
    with transaction(settings, snapshot=snapshot) as connection:
        return int(connection.execute(PID).scalar_one())


def setting(connection: Connection, name: str) -> str:
    return str(connection.scalar(text("SELECT current_setting(:name)"), {"name": name}))


def set_for_all(database_url: str, setting: str) -> None:
    """Change what every new session of the database has."""
    with closing(psycopg2.connect(database_url)) as owner, owner.cursor() as cursor:
        owner.autocommit = True
        cursor.execute("SET default_transaction_read_only = off")
        cursor.execute(f"ALTER DATABASE {owner.info.dbname} SET {setting}")


@contextmanager
def frozen(pid: int) -> Iterator[None]:
    """Stop one process of PostgreSQL, as a machine does that stands still."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def test_one_session_serves_one_transaction_after_the_other(settings: Settings) -> None:
    first = session_of(settings)
    assert session_of(settings, snapshot=True) == first
    with pytest.raises(DatabaseUnusable, match="refused"), transaction(settings) as connection:
        connection.execute(text("SET statement_timeout = 1; SELECT 1 / 0"))
    with transaction(settings, 7) as connection:
        assert setting(connection, "statement_timeout") == "7s"
    assert session_of(settings) == first


def test_statements_that_were_prepared_are_prepared_anew(settings: Settings, database_url: str) -> None:
    migrate(database_url)
    for _ in range(2):
        with transaction(settings) as connection:
            assert OneTransaction(connection).run(LOAD_ORDERS, (["nobody"],), Deadline(5)) == []


def test_transactions_at_the_same_time_have_sessions_of_their_own(settings: Settings) -> None:
    with transaction(settings) as connection:
        assert session_of(settings) != connection.execute(PID).scalar_one()


def test_a_session_that_was_ended_is_replaced_and_nobody_hears_of_it(settings: Settings, database_url: str) -> None:
    first = session_of(settings)
    with closing(psycopg2.connect(database_url)) as other, other.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s, 5000)", (first,))
    assert session_of(settings) != first


def test_a_session_that_is_silent_is_replaced_by_another_one(settings: Settings) -> None:
    first = session_of(settings)
    with frozen(first):
        assert session_of(settings) != first


def test_an_old_session_is_replaced(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its password may be another one by now, and its server a standby."""
    monkeypatch.setattr(kept, "KEPT_SECONDS", 0)
    first = session_of(settings)
    assert session_of(settings) != first


def test_a_database_is_as_read_only_as_its_owner_says_now(settings: Settings, database_url: str) -> None:
    migrate(database_url)
    set_for_all(database_url, "default_transaction_read_only = on")
    session_of(settings, snapshot=True)
    for _ in range(2):
        with pytest.raises(DatabaseUnusable, match="is read-only"), transaction(settings) as connection:
            connection.execute(text("DELETE FROM jobs"))
    set_for_all(database_url, "default_transaction_read_only = off")
    with transaction(settings) as connection:
        connection.execute(text("DELETE FROM jobs"))
