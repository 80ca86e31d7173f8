"""Orders that are made at the same moment share a commit, and that is all that they share."""

from typing import Any

import pytest
from flask import Flask

from app.database import orders_sql as sql
from app.database.pool import Pool
from app.database.statement import Statement
from app.models.errors import DatabaseAway, DatabaseBusy, OutcomeUnknown, ValuesRefused
from tests.contract.conftest import Tables
from tests.harness.builders import Caller, at_once_in_tasks, create_body, unique

CALLERS = 24


def create_at_once_in_tasks(app: Flask, customer: str, path: str = "/createOrder") -> list[tuple[int, str]]:
    """The status and the order's id, or the failure's code, of each."""

    def one() -> tuple[int, str]:
        answer = Caller(app.test_client()).post(path, create_body(customer))
        return answer.status_code, answer.json.get("order_id") or answer.json["code"]

    return at_once_in_tasks([one] * CALLERS)


@pytest.fixture
def grouped(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sizes of the groups that were committed."""
    sizes: list[int] = []
    run = Pool.run

    def counting(self: Pool, statement: Statement, parameters: list[list[object]], *more: Any) -> object:
        if statement is sql.INSERT_NEW:
            sizes.append(len(parameters[0]))
        return run(self, statement, parameters, *more)

    monkeypatch.setattr(Pool, "run", counting)
    return sizes


@pytest.mark.parametrize(("path", "events"), [("/createOrder", 1), ("/testCreateOrder", 0)])
def test_each_order_of_a_group_has_its_row_its_history_and_its_event(
    app: Flask, tables: Tables, grouped: list[int], path: str, events: int
) -> None:
    """[H6] [H7] [K3]"""
    customer = unique("customer")
    while not grouped:  # at the first try everybody may have come alone
        made = create_at_once_in_tasks(app, customer, path)
        assert {status for status, _ in made} == {201}
    ids = [order_id for _, order_id in made]
    assert len(set(ids)) == CALLERS
    for order_id in ids:
        (change,) = tables.changes(order_id)
        assert (change["version"], change["kind"], change["door"]) == (1, "created", "http")
        found = tables.events(order_id)
        assert [(it["version"], it["event_id"], it["type"]) for it in found] == (
            [(1, change["change_id"], "ORDER_CREATED")] * events
        )
    assert tables.one("SELECT count(*) FROM orders WHERE cust_id = %s", customer) % CALLERS == 0


@pytest.mark.parametrize("trouble", [DatabaseBusy("busy"), OutcomeUnknown("lost"), ValuesRefused("one of them")])
def test_where_a_group_fails_each_is_tried_alone(
    app: Flask, tables: Tables, monkeypatch: pytest.MonkeyPatch, trouble: Exception
) -> None:
    """[H6]"""
    run, failed = Pool.run, []

    def failing(self: Pool, statement: Statement, *more: Any) -> object:
        if statement is sql.INSERT_NEW:
            failed.append(statement)
            raise trouble
        return run(self, statement, *more)

    monkeypatch.setattr(Pool, "run", failing)
    customer, made = unique("customer"), []
    while not failed:
        made += create_at_once_in_tasks(app, customer)
    assert {status for status, _ in made} == {201}
    assert tables.one("SELECT count(*) FROM orders WHERE cust_id = %s", customer) == len(made)


def test_an_order_of_a_group_whose_answer_was_lost_is_not_made_twice(
    app: Flask, tables: Tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    """[H6] The commit happened, and nobody was told."""
    run, lost = Pool.run, []

    def losing(self: Pool, statement: Statement, *more: Any) -> object:
        answer = run(self, statement, *more)
        if statement is sql.INSERT_NEW:
            lost.append(statement)
            raise OutcomeUnknown("lost")
        return answer

    monkeypatch.setattr(Pool, "run", losing)
    customer, made = unique("customer"), []
    while not lost:
        made += create_at_once_in_tasks(app, customer)
    assert {status for status, _ in made} == {201}
    rows = tables.rows("SELECT order_id FROM orders WHERE cust_id = %s", customer)
    assert sorted(row["order_id"] for row in rows) == sorted(order_id for _, order_id in made)
    assert all(len(tables.events(order_id)) == 1 for _, order_id in made)


def test_while_the_database_is_away_everybody_is_told_so(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    """[H1]"""

    def away(*_: object) -> object:
        raise DatabaseAway("The database is away")

    monkeypatch.setattr(Pool, "run", away)
    assert set(create_at_once_in_tasks(app, unique())) == {(503, "database_away")}
