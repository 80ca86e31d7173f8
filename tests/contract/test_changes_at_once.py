"""Changes that are made at the same moment share a commit; none waits for another's order, and the guard holds."""

from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask

from app.database import orders_sql as sql
from app.database.pool import Pool
from app.database.statement import Statement
from app.models.errors import DatabaseAway, DatabaseBusy, OutcomeUnknown, ValuesRefused
from tests.contract.conftest import Tables
from tests.harness.builders import Caller, at_once_in_tasks, unique

CALLERS = 24
Answers = list[tuple[int, Any]]


def made(app: Flask) -> str:
    """An order that a runner may take."""
    return Caller(app.test_client()).new("CREATED")


def accept(app: Flask, order_id: str, runner_id: str) -> Callable[[], tuple[int, Any]]:
    """A call of its own thread."""

    def call() -> tuple[int, Any]:
        answer = Caller(app.test_client()).accept(order_id, runner_id)
        return answer.status_code, answer.json.get("code")

    return call


def accept_at_once_in_tasks(app: Flask) -> tuple[list[str], Answers]:
    """Runners take an order each, all at the same moment."""
    order_ids = [made(app) for _ in range(CALLERS)]
    return order_ids, at_once_in_tasks([accept(app, order_id, unique("runner")) for order_id in order_ids])


@pytest.fixture
def grouped(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """How many orders each group asked to change, and how many it changed."""
    groups: list[tuple[int, int]] = []
    run = Pool.run

    def counting(self: Pool, statement: Statement, parameters: list[list[object]], *more: Any) -> Any:
        rows = run(self, statement, parameters, *more)
        if statement is sql.UPDATE_FREE:
            groups.append((len(parameters[0]), len(rows)))
        return rows

    monkeypatch.setattr(Pool, "run", counting)
    return groups


def assert_accepted_once(tables: Tables, order_id: str) -> None:
    accepted = [change for change in tables.changes(order_id) if change["kind"] == "accepted"]
    (event,) = [event for event in tables.events(order_id) if event["type"] == "ORDER_ACCEPTED"]
    (change,) = accepted
    order = tables.rows("SELECT * FROM orders WHERE order_id = %s", order_id)[0]
    assert (order["order_status"], order["runner_id"]) == ("ACCEPTED", change["runner_id"])
    assert order["version"] == change["version"] == event["version"]
    assert change["change_id"] == event["event_id"]
    assert (change["from_status"], change["to_status"], change["door"]) == ("CREATED", "ACCEPTED", "http")


def test_each_change_of_a_group_has_its_row_its_history_and_its_event(
    app: Flask, tables: Tables, grouped: list[tuple[int, int]]
) -> None:
    """[H9] [K3]"""
    while not any(asked > 1 for asked, _ in grouped):  # at the first try everybody may have come alone
        grouped.clear()
        order_ids, answers = accept_at_once_in_tasks(app)
        assert answers == [(200, None)] * CALLERS
        for order_id in order_ids:
            assert_accepted_once(tables, order_id)


def test_of_many_runners_one_gets_the_order(app: Flask, tables: Tables, grouped: list[tuple[int, int]]) -> None:
    """[R5] All in the same groups, on the same version."""
    order_id = made(app)
    answers = at_once_in_tasks([accept(app, order_id, unique("runner")) for _ in range(CALLERS)])
    assert sorted(answers, key=str) == [(200, None)] + [(400, "order_taken")] * (CALLERS - 1)
    assert_accepted_once(tables, order_id)


def test_an_order_that_somebody_holds_keeps_nobody_else_waiting(
    app: Flask, tables: Tables, grouped: list[tuple[int, int]]
) -> None:
    """[H9] Its own change waits for it, outside of the group."""
    held, order_ids = made(app), [made(app) for _ in range(CALLERS)]
    grouped.clear()
    with tables.row_locked(held):
        calls = [accept(app, order_id, "runner-1") for order_id in [held, *order_ids]]
        first, *others = at_once_in_tasks(calls)
    assert first == (503, "database_busy")
    assert others == [(200, None)] * CALLERS
    assert sum(asked for asked, _ in grouped) == CALLERS + 1
    assert sum(changed for _, changed in grouped) == CALLERS
    for order_id in order_ids:
        assert_accepted_once(tables, order_id)
    assert at_once_in_tasks([accept(app, held, "runner-1")]) == [(200, None)]
    assert_accepted_once(tables, held)


@pytest.mark.parametrize(
    ("trouble", "after_commit"),
    [
        (DatabaseBusy("busy"), False),
        (ValuesRefused("one of them"), False),
        (OutcomeUnknown("lost"), False),
        (OutcomeUnknown("lost"), True),
    ],
)
def test_where_a_group_fails_each_is_tried_alone_and_done_once(
    app: Flask, tables: Tables, monkeypatch: pytest.MonkeyPatch, trouble: Exception, after_commit: bool
) -> None:
    """[H9] Also where the commit happened, and nobody was told."""
    run = Pool.run

    def failing(self: Pool, statement: Statement, *more: Any) -> object:
        if statement is sql.UPDATE_FREE:
            if after_commit:
                run(self, statement, *more)
            raise trouble
        return run(self, statement, *more)

    monkeypatch.setattr(Pool, "run", failing)
    order_ids, answers = accept_at_once_in_tasks(app)
    assert answers == [(200, None)] * CALLERS
    for order_id in order_ids:
        assert_accepted_once(tables, order_id)


def test_while_the_database_is_away_everybody_is_told_so(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    """[H1]"""
    order_ids = [made(app) for _ in range(CALLERS)]

    def away(*_: object) -> object:
        raise DatabaseAway("The database is away")

    monkeypatch.setattr(Pool, "run", away)
    answers = at_once_in_tasks([accept(app, order_id, unique("runner")) for order_id in order_ids])
    assert set(answers) == {(503, "database_away")}
