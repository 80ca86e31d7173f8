"""A page waits less than a person at a terminal: `hurried` shortens the limits of the operations in its body."""

import time
from contextlib import closing

import psycopg2
import pytest
from sqlalchemy import text

from app.models.operator_errors import DatabaseUnusable
from app.operations import outbox
from app.operations.transaction import hurried, transaction
from tests.harness.world import World


def test_a_locked_table_holds_a_hurried_operation_up_for_its_limit(untouched: World) -> None:
    settings = untouched.settings()
    with closing(psycopg2.connect(untouched.database_url)) as holder, holder, holder.cursor() as cursor:
        cursor.execute("LOCK TABLE outbox IN ACCESS EXCLUSIVE MODE")
        began = time.monotonic()
        with hurried(lock_ms=100), pytest.raises(DatabaseUnusable, match="locked by somebody else"):
            outbox.waiting(settings)
        assert time.monotonic() - began < 1.5
    with hurried():
        assert outbox.waiting(settings).depth == 0


def test_a_hurried_statement_ends_soon_and_the_next_ones_have_their_time_again(untouched: World) -> None:
    settings = untouched.settings()
    with hurried(seconds=1), pytest.raises(DatabaseUnusable, match="longer than 1 s"), transaction(settings) as session:
        session.execute(text("SELECT pg_sleep(5)"))
    with transaction(settings, 4) as session:
        session.execute(text("SELECT pg_sleep(1.3)"))
