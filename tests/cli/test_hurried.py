"""A page waits less than a person at a terminal: `hurried` shortens the limits of the operations in its body."""

import time
from contextlib import closing
from unittest.mock import Mock

import psycopg2
import pytest
from sqlalchemy import create_engine, text

from app.database import kept
from app.models.operator_errors import DatabaseUnusable
from app.operations import outbox
from app.operations import transaction as transactions
from app.operations.transaction import hurried, transaction
from tests.harness.world import World


def test_a_locked_table_holds_a_hurried_operation_up_for_its_limit(untouched: World) -> None:
    settings = untouched.settings()
    with closing(psycopg2.connect(untouched.database_url)) as holder, holder, holder.cursor() as cursor:
        cursor.execute("LOCK TABLE outbox IN ACCESS EXCLUSIVE MODE")
        began = time.monotonic()
        with hurried(lock_ms=100), pytest.raises(DatabaseUnusable, match="locked by somebody else"):
            outbox.waiting(settings)
        assert time.monotonic() - began < transactions.LOCK_SECONDS
    with hurried():
        assert outbox.waiting(settings).depth == 0


def test_a_hurried_statement_ends_soon_and_the_next_ones_have_their_time_again(untouched: World) -> None:
    settings = untouched.settings()
    with hurried(seconds=1), pytest.raises(DatabaseUnusable, match="longer than 1 s"), transaction(settings) as session:
        session.execute(text("SELECT pg_sleep(5)"))
    with transaction(settings, 4) as session:
        session.execute(text("SELECT pg_sleep(1.3)"))


def test_transactions_share_an_engine_and_each_has_its_own_limits(
    untouched: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A new engine asks the server for its version, and compiles each query anew."""
    made = Mock(side_effect=create_engine)
    monkeypatch.setattr(kept, "create_engine", made)
    transactions._engine.cache_clear()
    limit = text("SELECT current_setting('statement_timeout'), current_setting('transaction_read_only')")
    found = []
    for seconds, snapshot in ((3, False), (4, True), (5, False)):
        with transaction(untouched.settings(), seconds, snapshot=snapshot) as session:
            found.append(tuple(session.execute(limit).one()))
    assert found == [("3s", "off"), ("4s", "on"), ("5s", "off")]
    assert made.call_count == 1
