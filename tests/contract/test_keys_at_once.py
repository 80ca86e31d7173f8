"""Requests that come at the same moment look for their keys in one statement, and each finds what is its own."""

from typing import Any

import pytest
from flask import Flask

from app.database import answers_sql as sql
from app.database.pool import Pool
from app.database.statement import Statement
from app.models.errors import DatabaseBusy, OutcomeUnknown, ValuesRefused
from tests.contract.conftest import Tables
from tests.harness.builders import Caller, at_once_in_tasks, create_body, unique

CALLERS = 24


def create_at_once(app: Flask, customer: str, keys: list[str], food: int = 0) -> list[tuple[int, bytes]]:
    """The status and the body of each; `food` makes another body of it."""
    body = create_body(customer)
    body["order_details"]["foodItems"][0]["quantity"] += food

    def one(key: str) -> tuple[int, bytes]:
        answer = Caller(app.test_client()).post("/createOrder", body, Idempotency_Key=key)
        return answer.status_code, answer.data

    return at_once_in_tasks([lambda key=key: one(key) for key in keys])  # type: ignore[misc]


def see(monkeypatch: pytest.MonkeyPatch, trouble: Exception | None = None) -> list[int]:
    """Return the sizes of the groups that looked for their keys from now on; each of them fails with `trouble`."""
    sizes: list[int] = []
    run = Pool.run

    def counting(self: Pool, statement: Statement, parameters: list[list[object]], *more: Any) -> object:
        if statement is sql.FIND_ANSWERS:
            sizes.append(len(parameters[0]))
            if trouble is not None:
                raise trouble
        return run(self, statement, parameters, *more)

    monkeypatch.setattr(Pool, "run", counting)
    return sizes


@pytest.mark.parametrize(
    "trouble", [None, DatabaseBusy("busy"), OutcomeUnknown("lost"), ValuesRefused("one of them")], ids=str
)
def test_each_of_a_group_finds_its_own_answer_and_nobody_elses(
    app: Flask, tables: Tables, monkeypatch: pytest.MonkeyPatch, trouble: Exception | None
) -> None:
    """[H15] Where the group's statement fails, each looks by itself."""
    customer, sizes = unique("customer"), see(monkeypatch, trouble)
    while not sizes:  # at the first try everybody may have come alone
        keys = [unique("key") for _ in range(CALLERS)]
        made = create_at_once(app, customer, keys)
        assert {status for status, _ in made} == {201}
        assert create_at_once(app, customer, keys) == made
    assert max(sizes) > 1
    orders = tables.one("SELECT count(*) FROM orders WHERE cust_id = %s", customer)
    assert orders == tables.one("SELECT count(DISTINCT order_id) FROM orders WHERE cust_id = %s", customer)
    assert orders % CALLERS == 0


def test_another_body_under_a_key_of_the_group_is_refused_alone(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    """[H15]"""
    customer, sizes = unique("customer"), see(monkeypatch)
    while not sizes:
        known, fresh = [unique("key") for _ in range(CALLERS)], [unique("key") for _ in range(CALLERS)]
        create_at_once(app, customer, known)
        sizes.clear()
        found = create_at_once(app, customer, known + fresh, food=1)
    assert [status for status, _ in found] == [422] * CALLERS + [201] * CALLERS
