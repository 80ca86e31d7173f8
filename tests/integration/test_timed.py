"""Every wait for PostgreSQL has a deadline, in a thread and in a task, also for connections that others opened."""

import socket
import time
from contextlib import closing

import psutil
import psycopg2
import pytest

from app.database.timed import TimedConnection, timed
from app.utils.deadline import Deadline
from tests.harness.tasks import run_in_a_task, start

SLEEP = "SELECT pg_sleep(20)"


@pytest.fixture
def opened(database_url: str) -> TimedConnection:
    connection = psycopg2.connect(database_url, connection_factory=TimedConnection)
    assert isinstance(connection, TimedConnection)
    return connection


def sleep_in_the_server(connection: TimedConnection) -> None:
    with pytest.raises(psycopg2.OperationalError, match="took too long"), timed(connection, Deadline(0.2)):
        connection.cursor().execute(SLEEP)
    assert connection.closed


def test_a_call_of_a_thread_ends_at_its_deadline_and_closes_the_connection(opened: TimedConnection) -> None:
    began = time.monotonic()
    sleep_in_the_server(opened)
    assert time.monotonic() - began < 10


def test_a_call_of_a_task_ends_at_its_deadline_and_others_run_meanwhile(opened: TimedConnection) -> None:
    def scenario() -> None:
        late = start(sleep_in_the_server, opened)
        beside = start(lambda: "beside")
        assert beside.result() == "beside"
        assert not late.is_done
        late.result()

    run_in_a_task(scenario)


def test_a_deadline_within_another_one_gives_way_to_it_again(opened: TimedConnection) -> None:
    with closing(opened), timed(opened, Deadline(20)):
        outer = opened.deadline
        with timed(opened, Deadline(10)):
            opened.cursor().execute("SELECT 1")
        assert opened.deadline is outer


def test_a_connection_that_others_open_has_its_connect_timeout() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        began = time.monotonic()
        with pytest.raises(psycopg2.OperationalError, match="took too long"):
            psycopg2.connect(f"postgresql://127.0.0.1:{silent.getsockname()[1]}/db", connect_timeout=1)
        assert 0.5 < time.monotonic() - began < 15


def connections_to(database_url: str) -> set[tuple[object, ...]]:
    """Local addresses of this process's connections to that server; those that earlier tests left are among them."""
    port = int(psycopg2.extensions.parse_dsn(database_url)["port"])
    held = psutil.Process().net_connections("tcp")
    return {tuple(one.laddr) for one in held if one.raddr and one.raddr.port == port}


def test_a_login_that_fails_leaves_no_connection_though_its_error_is_kept(database_url: str) -> None:
    """Else the server waits for the rest of it, and a DROP DATABASE for the server."""
    before = connections_to(database_url)
    kept = []
    for _ in range(3):
        with pytest.raises(psycopg2.OperationalError, match="no password") as refused:
            psycopg2.connect(database_url.replace(":postgres@", "@"), connection_factory=TimedConnection)
        kept.append(refused)
    assert len(kept) == 3
    assert connections_to(database_url) <= before
