"""Many callers of one order, and connections that die under a request: every answer is true."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest
from flask import Flask

from app.database.orders_sql import INSERT_ORDER, INSERT_ORDER_UNDER_KEY, UPDATE_FREE, UPDATE_ORDER_UNDER_KEY
from app.database.pool import Pool
from app.database.statement import Statement
from app.models.errors import OutcomeUnknown
from tests.contract.conftest import Tables, await_waiting
from tests.harness.builders import Caller, at_once, create_body, unique

WRITES = (INSERT_ORDER, INSERT_ORDER_UNDER_KEY, UPDATE_FREE, UPDATE_ORDER_UNDER_KEY)
NewCaller = Callable[[], Caller]
WRITERS = 50
RUNNERS = 20
MOVING = ("CREATED", "ACCEPTED", "PLACED", "ON_THE_WAY", "DELIVERED")
KILL = (
    "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
    "WHERE application_name = 'order-service' AND datname = current_database()"
)


def test_fifty_writers_of_one_order_get_true_answers(new_caller: NewCaller, tables: Tables) -> None:
    """[H1] [K3] [R3]: a conflict is no answer, versions have no gap, nothing deadlocks."""
    order_id = new_caller().new("CREATED")
    deadlocks = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
    before = tables.one(deadlocks)

    def write(number: int) -> tuple[str, Any]:
        body = {"orderId": order_id, "status": MOVING[number % len(MOVING)]}
        return f"w{number}", new_caller().post("/updateOrderStatus", body, X_Correlation_ID=f"w{number}")

    answers = dict(at_once([partial(write, number) for number in range(WRITERS)]))
    done = {name: answer.json["order"] for name, answer in answers.items() if answer.status_code == 200}
    assert {answer.status_code for answer in answers.values()} <= {200, 503}
    assert len(done) > WRITERS / 2
    changes = tables.changes(order_id)
    assert [change["version"] for change in changes] == list(range(1, len(changes) + 1))
    assert len(tables.events(order_id)) == len(changes)
    for change in changes[2:]:
        order = done[change["correlation_id"]]
        assert (order["version"], order["orderStatus"]) == (change["version"], change["to_status"])
    assert tables.one(deadlocks) == before


@pytest.mark.parametrize("_round", range(3))
def test_of_twenty_runners_exactly_one_wins(new_caller: NewCaller, tables: Tables, _round: int) -> None:
    """[R5] [R8]: the nineteen others are refused cleanly, and remembered."""
    order_id = new_caller().new("CREATED")
    names = [f"runner-{number}" for number in range(RUNNERS)]
    answers = list(zip(names, at_once([partial(new_caller().accept, order_id, name) for name in names]), strict=True))
    winners = [name for name, answer in answers if answer.status_code == 200]
    refusals = {(answer.status_code, answer.json.get("code")) for name, answer in answers if name not in winners}
    assert (len(winners), refusals) == (1, {(400, "order_taken")})
    assert new_caller().order(order_id)["runnerId"] == winners[0]
    assert [event["type"] for event in tables.events(order_id)].count("ORDER_ACCEPTED") == 1
    assert tables.one("SELECT count(*) FROM refused_accepts WHERE order_id = %s", order_id) == RUNNERS - 1


def test_refused_runners_that_compensate_at_once_do_not_take_the_order(new_caller: NewCaller) -> None:
    """[R8]"""
    api = new_caller()
    order_id = api.new("ACCEPTED", "winner")
    for number in range(10):
        api.accept(order_id, f"loser-{number}")
    answers = at_once([lambda: new_caller().clear(order_id)] * 10)
    assert [(answer.status_code, answer.json.get("changed")) for answer in answers] == [(200, False)] * 10
    assert api.order(order_id)["runnerId"] == "winner"


def test_connections_killed_between_requests_fail_nobody(new_caller: NewCaller, tables: Tables) -> None:
    """[H1]"""
    api = new_caller()
    order_id = api.new("CREATED")
    tables.rows(KILL)
    answer = api.update(order_id, "PLACED")
    assert (answer.status_code, api.order(order_id)["orderStatus"]) == (200, "PLACED")
    assert len(tables.events(order_id)) == 3


@pytest.mark.parametrize("path", ["/createOrder", "/testCreateOrder"])
def test_connections_killed_before_a_create_make_no_twin(new_caller: NewCaller, tables: Tables, path: str) -> None:
    """[H1]"""
    customer = unique("customer")
    new_caller().get("/orders")
    tables.rows(KILL)
    assert new_caller().post(path, create_body(customer)).status_code == 201
    assert tables.one("SELECT count(*) FROM orders WHERE cust_id = %s", customer) == 1


@pytest.mark.parametrize("key", [{}, {"Idempotency_Key": "killed"}])
def test_a_connection_killed_in_the_statement_is_answered_truly(
    new_caller: NewCaller, tables: Tables, key: dict[str, str]
) -> None:
    """[H1] [H15] [K3]"""
    order_id = new_caller().new("CREATED")

    def call() -> Any:
        return new_caller().post("/cancelOrder", {"orderId": order_id}, **key)

    with ThreadPoolExecutor(1) as threads:
        with tables.row_locked(order_id):
            pending = threads.submit(call)
            await_waiting(tables, 1)
            tables.rows(f"{KILL} AND wait_event_type = 'Lock'")
        answer = pending.result(30)
    assert (answer.status_code, answer.json["order"]["version"]) == (200, 3)
    assert [change["to_status"] for change in tables.changes(order_id)] == ["PENDING", "CREATED", "CANCELLED"]
    assert len(tables.events(order_id)) == 3


@pytest.mark.parametrize("key", [{}, {"Idempotency_Key": "lost"}])
@pytest.mark.parametrize("path", ["/createOrder", "/testCreateOrder", "/cancelOrder"])
def test_a_change_whose_confirmation_was_lost_is_not_made_twice(
    app: Flask, tables: Tables, monkeypatch: pytest.MonkeyPatch, path: str, key: dict[str, str]
) -> None:
    """[H1] [K3]"""
    api, customer = Caller(app.test_client()), unique("customer")
    body = {"orderId": api.new("CREATED", customer_id=customer)} if path == "/cancelOrder" else create_body(customer)
    run = Pool.run
    lost: list[Statement] = []

    def run_and_lose(pool: Pool, statement: Statement, *rest: Any) -> Any:
        rows = run(pool, statement, *rest)
        if statement in WRITES and not lost:
            lost.append(statement)
            raise OutcomeUnknown("The connection was lost")
        return rows

    monkeypatch.setattr(Pool, "run", run_and_lose)
    assert api.post(path, body, **key).status_code in (200, 201)
    assert lost
    assert tables.one("SELECT count(*) FROM orders WHERE cust_id = %s", customer) == 1
    order_id = tables.one("SELECT order_id FROM orders WHERE cust_id = %s", customer)
    assert len(tables.changes(order_id)) == (3 if path == "/cancelOrder" else 1)
