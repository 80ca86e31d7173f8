"""One order that everybody wants, or that somebody holds: its callers wait for each other without a connection, the
others feel nothing, and nothing that waits outlives its deadline."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest

from app.database import pool
from app.database.database import Database
from app.database.pool import Pool
from app.database.statement import Statement
from app.models.errors import OutcomeUnknown
from app.services import order_service
from app.utils.deadline import Deadline
from app.utils.limits import LOCK_MS, REQUEST_SECONDS
from tests.contract.conftest import Tables, await_waiting, make_app
from tests.contract.test_database_trouble import LIMIT, timed
from tests.harness.builders import Caller, at_once, unique

CALLERS = 30
FIRST_SECONDS = 60
WAITING = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
SLEEP = Statement("sleep", {"seconds": "float8"}, "SELECT pg_sleep($seconds)")


@pytest.fixture
def elsewhere(url: str) -> Callable[[], Caller]:
    """Another process of the service."""
    app = make_app(url)
    return lambda: Caller(app.test_client())


def require_busy(answers: list[tuple[float, Any]]) -> None:
    """All were answered that the order is busy. Only a machine that is late lets a request's whole time pass."""
    in_time = [answer.json["code"] for seconds, answer in answers if seconds < REQUEST_SECONDS]
    late = [answer.json["code"] for seconds, answer in answers if seconds >= REQUEST_SECONDS]
    assert set(in_time) <= {"database_busy"}
    assert set(late) <= {"database_busy", "outcome_unknown"}
    assert max(seconds for seconds, _ in answers) < LIMIT


@pytest.mark.parametrize("key", [False, True])
def test_the_callers_of_an_order_that_is_locked_take_nothing_from_others(
    new_caller: Callable[[], Caller], tables: Tables, key: bool
) -> None:
    """[H1]: one waits in PostgreSQL, the others in the process; and readiness has a connection of its own."""
    locked, other = new_caller().new("CREATED"), new_caller().new("CREATED")

    def accept() -> Any:
        body, headers = {"orderId": locked, "runner_id": unique()}, {"Idempotency_Key": unique()} if key else {}
        return timed(lambda: new_caller().post("/verifyAndAcceptOrder", body, **headers))

    with ThreadPoolExecutor(CALLERS) as threads, tables.row_locked(locked):
        busy = [threads.submit(accept) for _ in range(CALLERS)]
        await_waiting(tables, 1)
        for status in ("PLACED", "DELIVERED", "PLACED", "DELIVERED"):
            seconds, answer = timed(partial(new_caller().update, other, status))
            assert (answer.status_code, seconds < LOCK_MS / 1000) == (200, True)
        ready = new_caller().get("/readyz").json
        assert ready["parts"]["database"]["ok"] is True
        assert tables.one(WAITING) == 1
        answers = [one.result(30) for one in busy]
    require_busy(answers)


@pytest.mark.parametrize(("call", "key"), [("clear", False), ("accept", True)])
def test_those_that_wait_for_a_refused_accept_of_an_order_take_nothing_from_others(
    new_caller: Callable[[], Caller], tables: Tables, call: str, key: bool
) -> None:
    """[R8]: bare clears that would use it up, and accepts that are refused again."""
    order_id = new_caller().new("ACCEPTED")
    loser = unique("runner")
    assert new_caller().accept(order_id, loser).status_code == 400
    path, body = {
        "clear": ("/clearRunner", {"orderId": order_id}),
        "accept": ("/verifyAndAcceptOrder", {"orderId": order_id, "runner_id": loser}),
    }[call]

    def ask() -> Any:
        return timed(lambda: new_caller().post(path, body, **({"Idempotency_Key": unique()} if key else {})))

    with ThreadPoolExecutor(CALLERS) as threads, tables.refusals_locked(order_id):
        busy = [threads.submit(ask) for _ in range(CALLERS)]
        await_waiting(tables, 1)
        for status in ("PLACED", "ON_THE_WAY", "DELIVERED"):
            seconds, answer = timed(partial(new_caller().update, order_id, status))
            assert (answer.status_code, seconds < LOCK_MS / 1000) == (200, True)
            assert tables.one(WAITING) == 1
        answers = [one.result(30) for one in busy]
    require_busy(answers)


def test_all_callers_of_a_busy_order_are_answered(new_caller: Callable[[], Caller], tables: Tables) -> None:
    """[R5]: nobody is sent away while it goes on."""
    order_id = new_caller().new("CREATED")
    answers = at_once([lambda: new_caller().accept(order_id, unique())] * CALLERS)
    assert sorted(answer.status_code for answer in answers) == [200] + [400] * (CALLERS - 1)
    statuses = ["PLACED", "ON_THE_WAY", "DELIVERED"] * 10
    answers = at_once([partial(new_caller().update, order_id, status) for status in statuses])
    assert {answer.status_code for answer in answers} == {200}


def test_readiness_is_no_matter_of_connections_that_callers_have(url: str) -> None:
    """A pool that is full is not a database that is away."""
    app = make_app(url, DATABASE_POOL="1")
    with app.extensions["order_service"]._orders._pool.transaction(Deadline(20)):
        assert Caller(app.test_client()).get("/readyz").json["parts"]["database"]["ok"] is True
    health = app.extensions["health"]
    with health.pool.transaction(Deadline(20)):
        assert Caller(app.test_client()).get("/readyz").json["parts"]["database"]["ok"] is True


@pytest.fixture
def row_locked_by_the_first(url: str, tables: Tables) -> Iterator[tuple[dict[str, str], dict[str, str]]]:
    """A call under a key that waits for its order until the test ends: its body and its key.

    It alone has so much time: what it needs is set back before the test sets its own.
    """
    with pytest.MonkeyPatch.context() as patient, ThreadPoolExecutor(1) as threads:
        patient.setattr("app.api.requests.REQUEST_SECONDS", FIRST_SECONDS)
        patient.setattr(pool, "LOCK_MS", FIRST_SECONDS * 1000)
        patient.setattr(Pool.__init__, "__defaults__", (FIRST_SECONDS * 1000,))
        first_caller = Caller(make_app(url).test_client())
        body, key = {"orderId": first_caller.new("CREATED")}, {"Idempotency_Key": unique("key")}
        with tables.row_locked(body["orderId"]):
            first = threads.submit(lambda: first_caller.post("/cancelOrder", body, **key))
            await_waiting(tables, 1)
            patient.undo()
            yield body, key
        first.result(FIRST_SECONDS)


@pytest.mark.parametrize("seconds_queued", [0.0, 1.5])
@pytest.mark.parametrize("tries", [0, 3])
def test_a_twin_in_another_process_of_a_call_that_hangs_is_told_that_the_key_is_in_use(
    elsewhere: Callable[[], Caller],
    row_locked_by_the_first: tuple[dict[str, str], dict[str, str]],
    monkeypatch: pytest.MonkeyPatch,
    tries: int,
    seconds_queued: float,
) -> None:
    """[H15]: with the lock and without; also if it has waited for a thread before."""
    monkeypatch.setattr(order_service, "TRIES_WITHOUT_LOCK", tries)
    monkeypatch.setattr("app.api.requests.REQUEST_SECONDS", 2.8 - seconds_queued)
    body, key = row_locked_by_the_first
    seconds, twin = timed(lambda: elsewhere().post("/cancelOrder", body, **key))
    assert (twin.status_code, twin.json["code"]) == (409, "idempotency_key_in_use")
    assert seconds < LIMIT


def test_waiting_for_the_key_and_then_for_the_row_is_one_deadline(
    elsewhere: Callable[[], Caller], tables: Tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    """[H1]: else the connection dies, and the process takes the database for away."""
    caller, key = elsewhere(), unique("key")
    order_id = caller.new("CREATED")
    monkeypatch.setattr(order_service, "TRIES_WITHOUT_LOCK", 0)
    holder = tables.connect()
    holder.cursor().execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", (f"/cancelOrder {key}",))

    def let_the_key_go() -> None:
        await_waiting(tables, 1)
        time.sleep(1.5)  # most of what the call has
        holder.close()

    release = threading.Thread(target=let_the_key_go)
    with tables.row_locked(order_id):
        release.start()
        seconds, answer = timed(lambda: caller.post("/cancelOrder", {"orderId": order_id}, Idempotency_Key=key))
    release.join()
    assert (answer.status_code, answer.json["code"]) == (503, "database_busy")
    assert seconds < LIMIT
    assert caller.get("/orders").status_code == 200


def be_late(late_pool: Pool) -> None:
    with late_pool.transaction(Deadline(1)) as session:
        for _ in range(3):
            session.execute(SLEEP, (0.6,))


def test_a_call_that_is_late_is_no_sign_of_a_database_that_is_away_while_others_are_answered(tables: Tables) -> None:
    database = Database(tables.url)
    late_pool, stop = Pool(database, 2), threading.Event()

    def ask() -> None:
        while not stop.wait(0.05):
            late_pool.run(SLEEP, (0,), Deadline(5))

    with ThreadPoolExecutor(1) as threads:
        others = threads.submit(ask)
        try:
            with pytest.raises(OutcomeUnknown):
                be_late(late_pool)
            assert database.available
        finally:
            stop.set()
        others.result(20)
    database.drop_idle()
