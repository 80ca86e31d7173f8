"""What the commands say when the database is away, frozen, empty or busy."""

import contextlib
from collections.abc import Callable, Iterator

import psycopg2
import pytest

from app.operations import transaction
from tests.cli.test_dead_letters import a_letter
from tests.harness.terminal import Terminal
from tests.harness.world import World
from tools.stack.ports import free_port

Make = Callable[[World], Terminal]


def test_a_database_that_is_away_is_one_sentence_without_the_password(untouched: World, terminal: Make) -> None:
    port = free_port()
    untouched.environment["DATABASE_URL"] = f"postgresql://user:secret@127.0.0.1:{port}/orders"
    sentence = f"The database orders at 127.0.0.1:{port} cannot be reached, or was lost: "
    assert terminal(untouched).refusal("list") == f"{sentence}nobody listens at its address (DATABASE_URL)."


def test_a_frozen_database_is_not_waited_for_without_end(untouched: World, terminal: Make, frozen: str) -> None:
    untouched.environment["DATABASE_URL"] = f"postgresql://user@{frozen}/orders"
    assert "cannot be reached" in terminal(untouched).refusal("list")


def test_a_database_that_freezes_in_a_statement_is_given_up_at_the_deadline(
    untouched: World, terminal: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transaction, "_time_outs", lambda *_: {})  # a frozen server heeds none
    with locked(untouched, "orders"):
        assert "took longer than 1 s" in terminal(untouched).refusal("check", "--deadline", 1)


def test_an_empty_database_is_one_sentence(untouched: World, terminal: Make) -> None:
    untouched.query("DROP TABLE orders")
    assert "is not at this version's schema: run `alembic upgrade head`" in terminal(untouched).refusal("list")


def test_a_statement_that_takes_too_long_is_one_sentence(untouched: World, terminal: Make) -> None:
    with locked(untouched, "orders"):
        assert "took longer than 1 s" in terminal(untouched).refusal("check", "--deadline", 1)


def test_a_row_that_somebody_holds_is_one_sentence(
    untouched: World, terminal: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    letter = a_letter(untouched, b"{")
    monkeypatch.setattr(transaction, "LOCK_SECONDS", 1)
    with locked(untouched, "dead_letters"):
        assert "locked by somebody else" in terminal(untouched).refusal("dead-letters", "discard", letter)


@contextlib.contextmanager
def locked(world: World, table: str) -> Iterator[None]:
    """Hold the table, as a migration does."""
    with contextlib.closing(psycopg2.connect(world.database_url)) as holder, holder, holder.cursor() as cursor:
        cursor.execute(f"LOCK TABLE {table}")
        yield
