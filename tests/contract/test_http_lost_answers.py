"""Refused accepts whose answers are given again, or lost: the winner keeps the order all the same [R8]."""

import contextlib
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from flask import Flask

from app.database import orders_sql, refused_accepts
from app.database.pool import Pool, Session
from app.models.errors import OutcomeUnknown
from app.services import order_service
from tests.contract.conftest import Tables, await_waiting
from tests.contract.test_http_compensation import age_the_refusals, held
from tests.harness.builders import Caller, at_once, unique

__all__ = ["held"]


def pool_of(app: Flask) -> Pool:
    pool: Pool = app.extensions["order_service"]._orders._pool
    return pool


@pytest.fixture
def lose_answers(app: Flask, monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Have the next transactions commit and lose their answers."""
    pool, real = pool_of(app), Pool.transaction
    left = [0]

    @contextlib.contextmanager
    def transaction(self: Pool, *arguments: Any) -> Iterator[Session]:
        with real(self, *arguments) as session:
            yield session
        if self is pool and left[0]:
            left[0] -= 1
            raise OutcomeUnknown("the answer to the commit was lost")

    monkeypatch.setattr(Pool, "transaction", transaction)
    return lambda times: left.__setitem__(0, times)


@pytest.fixture
def confirmations_lost(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the process died after the commit, before it could answer."""
    pool, real = pool_of(app), Pool.run

    def run(self: Pool, statement: Any, *arguments: Any) -> Any:
        if self is pool and statement is refused_accepts.CONFIRM_USE:
            raise OutcomeUnknown("gone")
        return real(self, statement, *arguments)

    monkeypatch.setattr(Pool, "run", run)


def accept(api: Caller, order_id: str, key: str, runner: str = "loser") -> Any:
    return api.post("/verifyAndAcceptOrder", {"orderId": order_id, "runner_id": runner}, Idempotency_Key=key)


def test_a_refusal_given_again_under_its_key_is_remembered_from_then_on(api: Caller, tables: Tables) -> None:
    """[R8] [H15]"""
    order_id, key = api.new("ACCEPTED", "winner"), unique("key")
    first = accept(api, order_id, key)
    age_the_refusals(tables, order_id, 60)
    assert accept(api, order_id, key).data == first.data
    assert api.clear(order_id).json["changed"] is False
    assert accept(api, order_id, key).data == first.data  # used up, and given again once more
    assert api.clear(order_id).json["changed"] is False
    assert api.order(order_id)["runnerId"] == "winner"


def test_a_refusal_repeated_under_its_key_counts_once(api: Caller) -> None:
    """[R8]"""
    order_id, key = api.new("ACCEPTED", "winner"), unique("key")
    for _ in range(3):
        assert accept(api, order_id, key).json["code"] == "order_taken"
    assert [api.clear(order_id).json.get("changed") for _ in range(2)] == [False, None]


def test_the_twins_of_a_refused_accept_count_once(new_caller: Callable[[], Caller], api: Caller) -> None:
    """[R8] [H15]: whichever is answered by the store."""
    order_id, key = api.new("ACCEPTED", "winner"), unique("key")
    answers = at_once([lambda: accept(new_caller(), order_id, key)] * 6)
    assert {answer.json["code"] for answer in answers} == {"order_taken"}
    assert [api.clear(order_id).json.get("changed") for _ in range(2)] == [False, None]


def test_other_answers_given_again_are_no_refusals(api: Caller, tables: Tables) -> None:
    """[R8]: neither the winner's own, nor a refusal by the status alone."""
    order_id, key = api.new("CREATED"), unique("key")
    assert [accept(api, order_id, key, "winner").status_code for _ in range(2)] == [200, 200]
    pending, other = api.new("PENDING"), unique("key")
    assert [accept(api, pending, other).json["code"] for _ in range(2)] == ["status_not_allowed"] * 2
    assert tables.one("SELECT count(*) FROM refused_accepts WHERE order_id IN (%s, %s)", order_id, pending) == 0


@pytest.mark.parametrize("key", [{}, {"Idempotency_Key": "lost-"}])
def test_a_forgiven_clear_whose_answer_was_lost_changes_nothing(
    api: Caller, held: str, lose_answers: Callable[[int], None], key: dict[str, str]
) -> None:
    """[R8]: the call finds out by itself that it was done."""
    lose_answers(1)
    answer = api.post("/clearRunner", {"orderId": held}, **{name: value + held for name, value in key.items()})
    assert (answer.status_code, answer.json["changed"]) == (200, False)
    assert api.order(held)["runnerId"] == "winner"
    assert "changed" not in api.clear(held).json  # and used one refusal up


def test_a_forgiven_clear_that_was_never_answered_is_forgiven_when_it_is_asked_again(
    api: Caller, tables: Tables, held: str, confirmations_lost: None
) -> None:
    """[R8]: its process died, or could not find out; the caller has no key, as the ones of today."""
    assert api.clear(held).json["changed"] is False
    assert api.clear(held).json["changed"] is False, "however soon it is"
    assert api.order(held)["runnerId"] == "winner"


def test_a_call_that_tries_again_uses_up_one_refusal_though_its_first_try_ends_late(
    api: Caller, tables: Tables, held: str
) -> None:
    """[R8] As where its COMMIT waits for a standby: another runner's refusal is not its own."""
    assert accept(api, held, unique("key"), "another").json["code"] == "order_taken"
    call = str(uuid.uuid4())
    use = f"EXECUTE {refused_accepts.USE_UP_REFUSAL.name} ('{held}', 15, '{call}')"
    with (
        contextlib.closing(tables.connect()) as first,
        contextlib.closing(Tables(tables.url)) as second,
        first.cursor() as cursor,
        ThreadPoolExecutor(1) as pool,
    ):
        for execute in (cursor.execute, second.rows):
            execute(refused_accepts.USE_UP_REFUSAL.prepare)
        cursor.execute(use)
        again = pool.submit(second.rows, use)
        await_waiting(tables, 1)
        first.commit()
        assert [(row["runner_id"],) for row in again.result(30)] == cursor.fetchall()
    assert tables.one("SELECT count(*) FROM refused_accepts WHERE used_by = %s", call) == 1


@pytest.mark.parametrize("key", [{}, {"Idempotency_Key": "lost-"}])
def test_a_refusal_whose_answer_was_lost_is_given_and_remembered(
    api: Caller, lose_answers: Callable[[int], None], key: dict[str, str]
) -> None:
    """[R8]"""
    order_id = api.new("ACCEPTED", "winner")
    lose_answers(1)
    body = {"orderId": order_id, "runner_id": "loser"}
    named = {name: value + order_id for name, value in key.items()}
    assert api.post("/verifyAndAcceptOrder", body, **named).json["code"] == "order_taken"
    assert [api.clear(order_id).json.get("changed") for _ in range(2)] == [False, None]


def test_on_the_way_with_the_lock_refusals_are_remembered_and_used_up_too(
    api: Caller, lose_answers: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """[R8]"""
    order_id, key = api.new("ACCEPTED", "winner"), unique("key")
    monkeypatch.setattr(order_service, "TRIES_WITHOUT_LOCK", 0)
    assert [accept(api, order_id, key).json["code"] for _ in range(2)] == ["order_taken"] * 2
    assert api.clear(order_id).json["changed"] is False
    assert "changed" not in api.clear(order_id).json


@pytest.mark.parametrize("key", [{}, {"Idempotency_Key": "moved-"}])
def test_a_change_whose_answer_was_lost_is_known_to_be_done_though_the_order_moved_on(
    app: Flask, new_caller: Callable[[], Caller], tables: Tables, monkeypatch: pytest.MonkeyPatch, key: dict[str, str]
) -> None:
    """Else it would be decided anew, and refused."""
    api, order_id = new_caller(), new_caller().new("ACCEPTED")
    pool, real = pool_of(app), Pool.run
    writes = (orders_sql.UPDATE_ORDER_UNDER_KEY, orders_sql.UPDATE_FREE)

    def run(self: Pool, statement: Any, *arguments: Any) -> Any:
        rows = real(self, statement, *arguments)
        if self is pool and statement in writes:
            monkeypatch.undo()
            assert new_caller().update(order_id, "COMPLETED").status_code == 200
            raise OutcomeUnknown("the answer was lost")
        return rows

    monkeypatch.setattr(Pool, "run", run)
    named = {name: value + order_id for name, value in key.items()}
    answer = api.post("/updateOrderStatus", {"orderId": order_id, "status": "PLACED"}, **named)
    assert answer.status_code == 200
    assert [change["to_status"] for change in tables.changes(order_id)][-2:] == ["PLACED", "COMPLETED"]
    assert answer.json["order"]["orderStatus"] == "PLACED"


def test_a_change_with_the_lock_whose_answer_was_lost_is_known_to_be_done(
    api: Caller, lose_answers: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """[H1]"""
    order_id = api.new("ACCEPTED")
    monkeypatch.setattr(order_service, "TRIES_WITHOUT_LOCK", 0)
    lose_answers(1)
    assert api.clear(order_id).json["order"]["version"] == 4
