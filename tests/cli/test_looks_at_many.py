"""No look of a page reads a table that grows from one end to the other."""

import re
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any
from uuid import UUID

import pytest
from psycopg2.extensions import cursor as Cursor
from sqlalchemy import event
from sqlalchemy.engine import Engine

from app.config.config import Settings
from app.operations import board, flow, outbox_rows, relay_look, why_facts
from app.operations.why_queries import Sought
from tests.contract.conftest import Tables
from tests.contract.test_plans import MANY, fill
from tests.harness.world import World

GROW = {"orders", "order_changes", "outbox", "dead_letters", "flow_minutes", "order_count_deltas", "http_refusals"}
OUT = UUID(int=7)
LOOKS: dict[str, Callable[[Settings], object]] = {
    "board": board.board,
    "flow": flow.flow,
    "relay": relay_look.look,
    "whereabouts": lambda settings: relay_look.whereabouts(settings, OUT),
    "offered": lambda settings: relay_look.offered(settings, [1, 2]),
    "why": lambda settings: why_facts.read(settings, Sought("x", frozenset({"x"}))),
    "why of an event": lambda settings: why_facts.read(
        settings, Sought(str(OUT), frozenset(), event_ids=frozenset({OUT}))
    ),
}
Asked = list[tuple[str, Any]]


@pytest.fixture
def asked() -> Iterator[Asked]:
    """What is asked of the database."""
    found: Asked = []

    def note(_: Any, __: Any, statement: str, parameters: Any, ___: Any, ____: Any) -> None:
        found.append((statement, parameters))

    event.listen(Engine, "before_cursor_execute", note)
    yield found
    event.remove(Engine, "before_cursor_execute", note)


@pytest.fixture
def many(untouched: World) -> Iterator[Tables]:
    """Tables with many rows, of which PostgreSQL knows, and an event that was taken out."""
    with closing(Tables(untouched.database_url)) as tables:
        fill(tables, 1, MANY)
        tables.rows(
            "INSERT INTO flow_minutes SELECT now() - i * interval '1 s', i, '{}' FROM generate_series(1, 80000) AS i"
        )
        tables.rows(
            "INSERT INTO http_refusals (path, code, order_id, key, correlation_id, times) "
            "SELECT '/p', 'c', i, i, i, 1 FROM generate_series(1, 20000) AS i"
        )
        tables.rows(
            "INSERT INTO taken_out_events (event_id, outbox_id, aggregateid, type, correlation_id, payload, refusal, "
            "created_at) VALUES (%s, 9, 'o', 't', 'c', '', 'r', now())",
            str(OUT),
        )
        tables.rows("ANALYZE")
        yield tables


def test_none_reads_a_table_from_end_to_end(
    untouched: World, many: Tables, asked: Asked, subtests: pytest.Subtests, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox_rows, "FEW", 500)
    for name, look in LOOKS.items():
        asked.clear()
        look(untouched.settings())
        with subtests.test(name), closing(many.connect()) as connection, connection.cursor() as cursor:
            assert asked
            assert {table for ask in asked for table in read_whole(cursor, *ask)} & GROW == set()


def read_whole(cursor: Cursor, statement: str, values: Any) -> list[str]:
    if statement.startswith("SET LOCAL enable_seqscan"):
        cursor.execute(statement)
    if not statement.startswith("SELECT"):
        return []
    cursor.execute(f"EXPLAIN {statement}", values)
    return re.findall(r"Seq Scan on (\w+)", "\n".join(line for (line,) in cursor.fetchall()))
