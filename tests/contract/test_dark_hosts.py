"""Several hosts in DATABASE_URL, one of them a black hole: nobody waits for it longer than a request may take."""

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from app.database import connection
from app.database.connections import Connections
from app.database.database import Database
from app.database.pool import Pool
from app.database.statement import Statement
from app.models.errors import DatabaseBusy, DatabaseTrouble, ValuesRefused
from app.utils.deadline import Deadline
from tests.contract.conftest import Tables, make_app
from tests.contract.test_database_trouble import LIMIT, timed
from tests.harness.builders import Caller
from tests.harness.door import get, open_door
from tools.stack.postgres import Postgres

FIRST_HOST_SECONDS = 5
ONE = Statement("one", {}, "SELECT 1")


@pytest.fixture(scope="module")
def dark() -> Iterator[str]:
    """An address whose queue of connections is full: whoever comes is not answered."""
    with contextlib.ExitStack() as open_ones:
        listener = open_ones.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            waiting = open_ones.enter_context(socket.socket())
            waiting.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                waiting.connect(listener.getsockname())
        with pytest.raises(TimeoutError):
            socket.create_connection(listener.getsockname(), 0.3)
        yield f"127.0.0.1:{listener.getsockname()[1]}"


def behind(dark: str, url: str) -> str:
    """The same database, the dark host first."""
    credentials, _, place = url.partition("@")
    return f"{credentials}@{dark},{place}"


def test_a_caller_waits_until_its_deadline_and_the_connection_is_the_next_ones(
    dark: str, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "CONNECT_SECONDS", FIRST_HOST_SECONDS)
    monkeypatch.setitem(connection.NETWORK, "connect_timeout", FIRST_HOST_SECONDS)
    database = Database(behind(dark, url))
    pool = Pool(database, 1)

    def late() -> None:
        with pytest.raises(DatabaseBusy):
            pool.run(ONE, (), Deadline(0.3))

    seconds, _ = timed(late)
    assert seconds < FIRST_HOST_SECONDS
    assert database.available
    give_up = time.monotonic() + 30
    while True:
        with contextlib.suppress(DatabaseBusy):
            assert pool.run(ONE, (), Deadline(0.3)) == [(1,)]
            break
        assert time.monotonic() < give_up, "the connection that was late is nobody's"
    pool.drop_idle()


def test_requests_are_answered_in_time_and_soon_well(dark: str, url: str) -> None:
    """[H1]"""
    caller = Caller(make_app(behind(dark, url)).test_client())
    found: list[int] = []
    give_up = time.monotonic() + 30
    while 200 not in found:
        seconds, answer = timed(lambda: caller.get("/orders"))
        assert seconds < LIMIT
        found.append(answer.status_code)
        assert time.monotonic() < give_up
    assert set(found) <= {200, 503}


def test_a_server_that_refuses_is_there(url: str) -> None:
    """Whoever is late beside it only waited for others: that is not away."""
    database = Database(url)
    pool = Pool(database, 1)
    assert not database.answered_lately
    with pytest.raises(ValuesRefused):
        pool.run(Statement("refused", {}, "SELECT 1 / 0"), (), Deadline(10))
    assert database.answered_lately
    pool.drop_idle()


def test_nobody_waits_for_a_resolver_that_hangs_beyond_the_deadline(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """[H1] [H2]"""
    ends = threading.Event()

    def hang(host: str, port: str) -> list[str]:
        assert ends.wait(60)
        return []

    monkeypatch.setattr("app.database.places._looked_up", hang)
    app = make_app(url.replace("127.0.0.1", "database.invalid"))
    try:
        with open_door(app) as port, ThreadPoolExecutor(8) as callers:
            asked = [callers.submit(timed, lambda: get(port, "/orders")) for _ in range(8)]
            seconds, healthy = timed(lambda: get(port, "/health"))
            assert (healthy.status, seconds < LIMIT) == (200, True)  # the resolver hangs for longer
            ready = get(port, "/readyz")
            assert (ready.status, b"A new connection to the database takes too long" in ready.body) == (503, True)
            for seconds, answer in (it.result() for it in asked):
                assert (answer.status, seconds < LIMIT) == (503, True)
    finally:
        ends.set()


def test_no_more_connections_are_opened_than_the_pool_has(dark: str, postgres: Postgres, tables: Tables) -> None:
    count = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'order-service' AND datname = 'dark'"
    database = Database(behind(dark, postgres.create_database("dark")))
    pool = Pool(database, 2)

    def call(_: int) -> bool:
        with contextlib.suppress(DatabaseTrouble):
            return pool.run(ONE, (), Deadline(0.5)) == [(1,)]
        return False

    give_up = time.monotonic() + 30
    with ThreadPoolExecutor(6) as callers:
        while not all(callers.map(call, range(6))):
            assert time.monotonic() < give_up
    while tables.one(count) > 2:  # the server ends the session of a closed connection a moment later
        assert time.monotonic() < give_up
    pool.drop_idle()


def test_a_failed_attempt_is_told_to_one_who_waits_for_it_and_to_nobody_later() -> None:
    answers = threading.Semaphore(0)

    def fail() -> None:
        answers.acquire()
        raise DatabaseTrouble("refused")

    connections = Connections(fail, 1)  # type: ignore[arg-type]  # it never connects
    with pytest.raises(DatabaseBusy):
        connections.take(Deadline(0.01), 1)
    answers.release()
    give_up = time.monotonic() + 10
    while connections._opening:
        assert time.monotonic() < give_up
    with pytest.raises(DatabaseBusy):
        connections.take(Deadline(0.01), 1)
    answers.release()
