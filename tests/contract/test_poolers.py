"""PgBouncer in front: in session mode all is as without it; where it shares sessions it is refused in a sentence."""

import itertools
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from app.database import connection as database_connection
from app.database.connection import SharedSession, connect
from app.database.database import Database
from app.database.schema import migrate
from app.models.errors import DatabaseAway
from tests.contract.conftest import make_app
from tests.harness.builders import Caller
from tests.harness.pooler import Pooler
from tools.stack.postgres import Postgres

SHARED = "a pooler gives each transaction another session: the service needs sessions of its own"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("poolers")


@pytest.fixture(scope="module")
def session_mode(folder: Path, postgres: Postgres) -> Iterator[Pooler]:
    with Pooler(folder, postgres, "session") as pooler:
        yield pooler


@pytest.fixture(scope="module")
def transaction_mode(folder: Path, postgres: Postgres) -> Iterator[Pooler]:
    with Pooler(folder, postgres, "transaction") as pooler:
        yield pooler


def test_in_session_mode_the_service_works_with_its_own_settings(session_mode: Pooler, database_url: str) -> None:
    url = session_mode.url(database_url)
    migrate(url)
    app = make_app(url)
    caller = Caller(app.test_client())
    order_id = caller.new("CREATED")
    assert caller.update(order_id, "PLACED").status_code == 200
    assert caller.get("/orders").json["total"] == 1
    database = Database(url)
    with closing(database.connect_for_lease(statement_timeout=1234)) as connection, connection.cursor() as cursor:
        cursor.execute("SHOW statement_timeout")
        assert cursor.fetchone() == ("1234ms",)


@pytest.mark.parametrize(
    ("mode", "settings"),
    [
        ("transaction", {}),
        ("transaction", {"server_round_robin": 1}),
        ("transaction", {"default_pool_size": 1}),
        ("transaction", {"default_pool_size": 2, "server_round_robin": 1}),
        ("statement", {}),
    ],
)
def test_shared_sessions_are_found_out_each_time(
    folder: Path, postgres: Postgres, database_url: str, mode: str, settings: dict[str, int]
) -> None:
    times = 2 if "default_pool_size" in settings else 10
    with Pooler(folder, postgres, mode, **settings) as pooler:
        url = pooler.url(database_url)
        for _ in range(times):
            with pytest.raises(DatabaseAway):
                Database(url).connect_for_lease()


def test_sessions_that_are_given_out_in_turn_are_found_out_whoever_is_next(
    folder: Path, postgres: Postgres, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One transaction of another client behind the marks, and each of the two connections met its session again."""
    with Pooler(folder, postgres, "transaction", default_pool_size=2, server_round_robin=1) as pooler:
        url = pooler.url(database_url)
        with closing(connect(url, prove=False)) as one, closing(connect(url, prove=False)) as another:
            for connection in (one, another):  # at the same time, so there are two sessions
                connection.autocommit = False
                connection.cursor().execute("SELECT 1")
            for connection in (one, another):
                connection.rollback()
            asked, ask = itertools.count(1), database_connection._ask

            def with_a_neighbour(*arguments: Any) -> tuple[Any, ...]:
                answer = ask(*arguments)
                if next(asked) == 2:
                    one.cursor().execute("SELECT 1")
                    one.rollback()
                return answer

            monkeypatch.setattr(database_connection, "_ask", with_a_neighbour)
            with pytest.raises(SharedSession):
                connect(url)


def test_they_are_found_out_while_others_use_the_pooler(transaction_mode: Pooler, database_url: str) -> None:
    url, stop = transaction_mode.url(database_url), threading.Event()

    def work() -> None:
        with closing(connect(url, prove=False)) as connection, connection.cursor() as cursor:
            while not stop.is_set():
                cursor.execute("SELECT 1")

    others = [threading.Thread(target=work) for _ in range(4)]
    for other in others:
        other.start()
    try:
        for _ in range(20):
            with pytest.raises(SharedSession):
                connect(url).close()
    finally:
        stop.set()
        for other in others:
            other.join()


def test_nobody_works_with_shared_sessions_and_readiness_says_why(
    transaction_mode: Pooler, database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    migrate(database_url)
    app = make_app(transaction_mode.url(database_url))
    client = app.test_client()
    assert {client.get("/orders").status_code for _ in range(5)} == {503}
    part = client.get("/readyz").get_json()["parts"]["database"]
    assert (part["ok"], part["reason"].startswith(SHARED)) == (False, True)
    told = [record.message for record in caplog.records if record.name == "app.database.database"]
    assert sum(message.startswith(f"database away: {SHARED}") for message in told) == 1


def test_proving_several_sessions_at_once_finds_none_shared(database_url: str) -> None:
    with ThreadPoolExecutor(8) as provers:
        found = list(provers.map(lambda _: connect(database_url).close(), range(80)))
    assert found == [None] * 80


def test_who_comes_by_a_pooler_may_have_a_direct_address_for_its_threads(
    session_mode: Pooler, transaction_mode: Pooler, database_url: str
) -> None:
    """WORKER_DATABASE_URL is for Kafka threads, migrations and the command line; HTTP goes by DATABASE_URL."""
    migrate(database_url)
    app = make_app(session_mode.url(database_url), WORKER_DATABASE_URL=transaction_mode.url(database_url))
    assert Caller(app.test_client()).get("/orders").status_code == 200
    service = app.extensions["kafka_service"]
    service.schema.attempt(threading.Event())
    assert service.database_away.startswith(SHARED)
    part = app.test_client().get("/readyz").get_json()["parts"]["database"]
    assert (part["ok"], part["worker_reason"].startswith(SHARED)) == (True, True)
    assert SHARED in app.test_cli_runner().invoke(args=["orders", "list"]).output
