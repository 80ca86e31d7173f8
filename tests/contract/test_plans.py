"""How PostgreSQL carries out every statement: by an index, whatever the tables hold and whatever is known of them.

A plan is made once a connection, often while the tables are empty or were never analyzed, and stays.
"""

import importlib
import pkgutil
import re
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import psycopg2
import pytest
from psycopg2.extensions import connection as Connection

import app
from app.database import lane_lease, lanes, pages_sql
from app.database.connection import connect, engine
from app.database.database import Database
from app.database.pool import Pool
from app.database.schema import migrate
from app.database.statement import Statement
from app.utils.deadline import Deadline
from tests.contract.conftest import Tables
from tools.stack.postgres import Postgres

SMALL = {
    "alarms",
    "api_keys",
    "consumer_offsets",
    "console_secrets",
    "instances",
    "kafka_cluster",
    "order_count_floors",
    "watch",
}  # at most some hundred rows
MANY = 20_000
FILL = (
    "INSERT INTO orders (order_id, order_status, runner_id, cust_id, created_at, updated_at, saga_id, "
    "order_description, food_fee, delivery_fee, delivery_location) SELECT i, 'CREATED', 'r' || i % 9, 'c' || i % 99, "
    "now() - i * interval '1 minute', now(), i, 'd', 1, 1, 'l' FROM generate_series({first}, {last}) AS i",
    "INSERT INTO order_changes (order_id, version, change_id, kind, to_status, payment_status, door, correlation_id) "
    "SELECT i, 1, gen_random_uuid(), 'created', 'CREATED', 'PENDING', 'http', i "
    "FROM generate_series({first}, {last}) AS i",
    "INSERT INTO outbox (event_id, aggregateid, type, correlation_id, payload) "
    "SELECT gen_random_uuid(), i, 't', i, '' FROM generate_series({first}, {last}) AS i",
    "INSERT INTO idempotency_keys (path, key, body_hash, status, body) "
    "SELECT '/p', i, '', 200, '' FROM generate_series({first}, {last}) AS i",
    "INSERT INTO command_identities (hash) SELECT decode(md5(i::text), 'hex') "
    "FROM generate_series({first}, {last}) AS i",
    "INSERT INTO refused_accepts (order_id, runner_id) SELECT i, 'r' FROM generate_series({first}, {last}) AS i",
    "INSERT INTO saga_orders (saga_id, order_id) SELECT i, i FROM generate_series({first}, {last}) AS i",
    'INSERT INTO dead_letters (event_id, topic, partition, "offset", error) '
    "SELECT gen_random_uuid(), 't', 0, i, 'e' FROM generate_series({first}, {last}) AS i",
)


def statements() -> list[Statement]:
    """Every statement of the service, wherever a module keeps it."""

    def found(value: Any) -> Iterator[Statement]:
        if isinstance(value, Statement):
            yield value
        elif isinstance(value, dict):
            for inner in value.values():
                yield from found(inner)

    names = [module.name for module in pkgutil.walk_packages(app.__path__, "app.")]
    modules = [importlib.import_module(name) for name in names]
    return list({it.name: it for module in modules for value in vars(module).values() for it in found(value)}.values())


@pytest.fixture
def pool(database_url: str) -> Iterator[Pool]:
    migrate(database_url)
    made = Pool(Database(database_url), 1)
    yield made
    made.drop_idle()


def fill(tables: Tables, first: int, last: int) -> None:
    for statement in FILL:
        tables.rows(statement.format(first=first, last=last))


def read_whole(pool: Pool, database_url: str) -> dict[str, set[str]]:
    """Return the tables that a statement reads from one end to the other, of those that grow."""
    found = {}
    with pool.transaction(Deadline(60)) as session, session.connection.cursor() as cursor:
        for it in statements():
            cursor.execute(it.prepare)
            values = f"({', '.join(['NULL'] * len(it.parameters))})" if it.parameters else ""
            cursor.execute(f"EXPLAIN EXECUTE {it.name} {values}")
            found[it.name] = scanned(cursor.fetchall())
        session.forget_plans()
    with closing(relay_connection(database_url)) as connection, connection.cursor() as cursor:
        for lane in (lanes.EVENTS, lanes.DEAD_LETTERS):
            for text, value in ((lane.select, 500), (lane.take_out, [1])):  # forget_events is for a reading back alone
                cursor.execute(f"EXPLAIN {text}", [value] * text.count("%s"))
                found[f"{lane.name}: {text}"] = scanned(cursor.fetchall())
    return {name: tables for name, tables in found.items() if tables}


def relay_connection(url: str) -> Connection:
    return Database(url).connect_for_lease(**lane_lease.BY_KEY)


def scanned(plan: list[tuple[str]]) -> set[str]:
    text = "\n".join(line for (line,) in plan)
    return set(re.findall(r"Seq Scan on (\w+)", text)) - SMALL


def test_no_statement_reads_a_table_from_end_to_end(pool: Pool, database_url: str) -> None:
    assert len(statements()) > 40
    with closing(Tables(database_url)) as tables:
        for rows, before in ((0, 0), (9, 0), (MANY, 9)):
            if rows:
                fill(tables, before + 1, rows)
            assert read_whole(pool, database_url) == {}, f"{rows} rows"
            tables.rows("ANALYZE")
            assert read_whole(pool, database_url) == {}, f"{rows} rows, analyzed"


def test_no_connection_compiles_its_statements(postgres: Postgres, database_url: str) -> None:
    """A server with LLVM takes 150 ms for what runs in one."""
    with closing(psycopg2.connect(database_url)) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        for name in ("jit_above_cost", "jit_inline_above_cost", "jit_optimize_above_cost"):
            cursor.execute(f"ALTER DATABASE {connection.info.dbname} SET {name} = 0")
    migrate(database_url)
    with Pool(Database(database_url), 1).transaction(Deadline(30)) as session, session.connection.cursor() as cursor:
        page = pages_sql.page((), 0)
        cursor.execute(page.prepare)
        cursor.execute(f"EXPLAIN (ANALYZE) EXECUTE {page.name} (20, 0)")
        assert "JIT" not in "\n".join(line for (line,) in cursor.fetchall())
    for opened in (connect(database_url), relay_connection(database_url)):
        with closing(opened), opened.cursor() as cursor:
            cursor.execute("SHOW jit")
            assert cursor.fetchone() == ("off",)
    with engine(database_url).connect() as migrating:
        assert migrating.exec_driver_sql("SHOW jit").scalar() == "off"
