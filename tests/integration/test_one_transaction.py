"""The stores over one open transaction: a part of it fails and is undone by itself, and its owner alone commits."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Connection, text

from app.config.config import Settings
from app.database.answers import AnswerStore
from app.database.one_transaction import OneTransaction
from app.database.orders_sql import LOAD_ORDERS
from app.database.refused_accepts import REMEMBER_REFUSAL, RefusedAccepts
from app.models.errors import DatabaseBusy, ValuesRefused
from app.models.writes import HttpAnswer, Outcome
from app.operations.transaction import transaction
from app.utils.deadline import Deadline
from app.utils.ids import new_id

ANSWER = HttpAnswer(200, b"{}")


@pytest.fixture
def settings(database_url: str) -> Settings:
    return Settings.load({"DATABASE_URL": database_url})


@pytest.fixture
def opened(settings: Settings) -> Iterator[Connection]:
    with transaction(settings, 5) as connection:
        yield connection


def soon() -> Deadline:
    return Deadline(3)


def refusals(connection: Connection) -> list[str]:
    return list(connection.scalars(text("SELECT order_id FROM refused_accepts ORDER BY order_id")))


def remember_both(one: OneTransaction, first: tuple[str, str], second: tuple[str, str] | KeyError) -> None:
    """In one part."""
    with one.transaction(soon()) as session:
        session.execute(REMEMBER_REFUSAL, first)
        if isinstance(second, KeyError):
            raise second
        session.execute(REMEMBER_REFUSAL, second)


def test_a_part_that_fails_is_undone_and_the_transaction_goes_on(opened: Connection) -> None:
    one = OneTransaction(opened)
    one.run(REMEMBER_REFUSAL, ("order-1", "runner-1"), soon())
    with pytest.raises(ValuesRefused):
        remember_both(one, ("order-2", "runner-1"), ("order-3", "r" * 300))
    with pytest.raises(KeyError):
        remember_both(one, ("order-4", "runner-1"), KeyError())
    one.run(REMEMBER_REFUSAL, ("order-5", "runner-1"), soon())
    assert refusals(opened) == ["order-1", "order-5"]


def test_a_store_that_rolls_back_undoes_its_part_alone(opened: Connection) -> None:
    one = OneTransaction(opened)
    one.run(REMEMBER_REFUSAL, ("order-1", "runner-1"), soon())
    store = RefusedAccepts(one, AnswerStore(one), 15)
    assert store.use_up("order-2", new_id(), None, ANSWER, soon()) is Outcome.MOVED_ON
    assert refusals(opened) == ["order-1"]
    assert store.has("order-1", soon(), None)
    assert store.use_up("order-1", new_id(), None, ANSWER, soon()) is Outcome.DONE
    assert refusals(opened) == []


def test_the_owner_decides_what_becomes_of_it(settings: Settings) -> None:
    with transaction(settings, 5) as undone:
        OneTransaction(undone).run(REMEMBER_REFUSAL, ("order-1", "runner-1"), soon())
        undone.rollback()
    with transaction(settings, 5) as kept:
        assert refusals(kept) == []
        OneTransaction(kept).run(REMEMBER_REFUSAL, ("order-2", "runner-1"), soon())
    with transaction(settings, 5) as connection:
        assert refusals(connection) == ["order-2"]


def test_a_lock_that_is_held_is_told_and_ends_the_part_alone(settings: Settings, opened: Connection) -> None:
    opened.execute(text("SET LOCAL lock_timeout = '100ms'"))
    one = OneTransaction(opened)
    with transaction(settings, 5) as holder:
        OneTransaction(holder).run(REMEMBER_REFUSAL, ("order-1", "runner-1"), soon())
        with pytest.raises(DatabaseBusy) as busy:
            one.run(REMEMBER_REFUSAL, ("order-1", "runner-1"), soon())
        assert busy.value.sqlstate == "55P03"
        assert one.run(LOAD_ORDERS, (["order-1"],), soon()) == []
        holder.rollback()
