"""Whoever keeps dead rows from being removed is named, until it ends: the alarm `held_snapshot`."""

import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

import psycopg2
import pytest
from psycopg2.extensions import ISOLATION_LEVEL_REPEATABLE_READ
from psycopg2.extensions import connection as Connection

from app.database.pool import Pool
from app.database.retention import HORIZON
from app.services import horizon
from app.services.horizon import ALARM, Horizon
from app.utils.alarms import Alarms
from tests.harness.world import wait_for


@pytest.fixture
def alarm(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> Callable[[], str | None]:
    """Looks, and tells what rings; a snapshot is old at once."""
    monkeypatch.setattr(horizon, "HELD_SECONDS", 0.0)
    monkeypatch.setattr(horizon, "HARMFUL_SECONDS", 0.0)
    monkeypatch.setattr(horizon, "MOVED_ON", 0)
    alarms = Alarms()
    watch = Horizon(pool, alarms)

    def look() -> str | None:
        watch.look()
        return alarms.all().get(ALARM)

    return look


@contextmanager
def a_snapshot(url: str, name: str = "nightly report") -> Iterator[Connection]:
    with closing(psycopg2.connect(url, application_name=name)) as connection:
        connection.set_session(isolation_level=ISOLATION_LEVEL_REPEATABLE_READ)
        connection.cursor().execute("SELECT count(*) FROM orders")
        yield connection


def test_a_session_that_holds_a_snapshot_is_named_until_it_ends(
    alarm: Callable[[], str | None], database_url: str
) -> None:
    wait_for(lambda: alarm() is None, "an end of sessions that only begin")
    with a_snapshot(database_url) as held:
        pid = held.info.backend_pid
        named = f"Session {pid} of postgres (nightly report, idle in transaction) holds"
        wait_for(lambda: (alarm() or "").startswith(named), "an end of sessions that only begin")
        assert (alarm() or "").endswith(f"SELECT pg_terminate_backend({pid})")
        assert alarm() == alarm(), "each other sentence is another line in the log"
    wait_for(lambda: alarm() is None, "its end")


def test_a_session_that_only_waits_holds_nothing(alarm: Callable[[], str | None], database_url: str) -> None:
    with closing(psycopg2.connect(database_url)) as other:
        other.cursor().execute("SELECT count(*) FROM orders")
        wait_for(lambda: alarm() is None, "an end of what there was before")


def test_a_prepared_transaction_is_named(alarm: Callable[[], str | None], database_url: str) -> None:
    with closing(psycopg2.connect(database_url)) as other:
        name = other.xid(0, uuid.uuid4().hex, "")
        other.tpc_begin(name)
        other.cursor().execute("SELECT pg_current_xact_id()")
        other.tpc_prepare()
        try:
            wait_for(lambda: "Prepared transaction 0_" in (alarm() or ""), "an end of sessions that only begin")
            wait_for(lambda: "ROLLBACK PREPARED '0_" in (alarm() or ""), "an end of sessions that only begin")
        finally:
            other.tpc_rollback()
    wait_for(lambda: alarm() is None, "its end")


def test_a_short_snapshot_rings_only_where_many_dead_rows_wait(
    pool: Pool, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(horizon, "HARMFUL_SECONDS", 0.0)
    alarms = Alarms()
    watch = Horizon(pool, alarms)
    with a_snapshot(database_url):
        watch.look()
        assert alarms.all() == {}
        monkeypatch.setattr(horizon, "MANY", 0)
        watch.look()
        assert ALARM in alarms.all()


def test_a_session_that_does_nothing_with_its_snapshot_rings_soon(
    pool: Pool, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    alarms = Alarms()
    watch = Horizon(pool, alarms)
    with a_snapshot(database_url):
        watch.look()
        assert alarms.all() == {}
        monkeypatch.setattr(horizon, "FORGOTTEN_SECONDS", 0.0)
        watch.look()
        assert ALARM in alarms.all()
    monkeypatch.undo()
    wait_for(lambda: watch.look() == 0, "its end")
    assert alarms.all() == {}


def test_a_user_without_rights_sees_who_holds_what(database_url: str) -> None:
    """As the service's own may be."""
    with closing(psycopg2.connect(database_url)) as other, a_snapshot(database_url) as held, other.cursor() as cursor:
        name = f"session {held.info.backend_pid} of postgres (nightly report"
        cursor.execute("CREATE ROLE onlooker; SET ROLE onlooker")
        cursor.execute(HORIZON.sql)
        assert [name in row[0] for row in cursor.fetchall()].count(True) == 1
        other.rollback()


def test_a_dump_of_several_sessions_is_not_idle_while_one_of_them_waits_for_the_others(
    pool: Pool, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(horizon, "FORGOTTEN_SECONDS", 1e-6)
    alarms = Alarms()
    with a_snapshot(database_url, "pg_dump") as held:
        assert Horizon(pool, alarms).look() >= 1
        assert f"Session {held.info.backend_pid} " not in alarms.all().get(ALARM, "")
