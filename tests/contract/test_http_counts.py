"""Totals of lists and places of deep pages are exact, whoever changes the orders and whenever they are folded."""

import io
import random
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import datetime, timedelta
from typing import Any

import pytest
from flask import Flask
from psycopg2 import extensions

from app.database import pages_sql
from app.database.consistency import MISCOUNTED
from app.database.database import Database
from app.database.pool import Pool
from app.database.retention import FOLD_COUNTS
from app.database.schema import migrate
from app.services.housekeeping import Housekeeping
from app.utils.alarms import Alarms
from tests.contract.conftest import Tables, make_app
from tests.harness.builders import STATUSES, Caller, at_once, unique
from tools.stack.postgres import Postgres

ROW = (
    "INSERT INTO orders (order_id, cust_id, runner_id, order_description, food_fee, delivery_fee, delivery_location, "
    "order_status, created_at, updated_at) VALUES (%s, %s, %s, '[]', 1, 1, 'Dorm', %s, %s, %s)"
)
NOON = datetime.fromisoformat("2026-11-22T12:00:00")  # in UTC, as the table has it
FILTERS: tuple[dict[str, str], ...] = (
    {},
    {"status": "CREATED"},
    {"runnerId": "runner-1"},
    {"status": "ACCEPTED", "runnerId": "runner-1"},
)


@pytest.fixture
def own_app(database_url: str) -> Flask:
    """An app with an empty database of its own."""
    app = make_app(database_url)
    migrate(app.extensions["settings"].database_url)
    return app


@pytest.fixture
def own(own_app: Flask) -> Caller:
    return Caller(own_app.test_client())


@pytest.fixture
def own_tables(own_app: Flask, database_url: str) -> Any:
    found = Tables(database_url)
    yield found
    found.close()


def fold(tables: Tables, limit: int = 1000) -> int:
    """Fold so many rows; return how many there were."""
    return int(tables.one(FOLD_COUNTS.sql.replace("$1", str(limit))))


def totals(caller: Caller) -> list[int]:
    answers = [caller.get("/orders", **filters) for filters in FILTERS] + [caller.get("/orders/customer/customer-1")]
    return [answer.json["total"] for answer in answers]


def counted(tables: Tables) -> list[int]:
    """The same totals, by counting."""
    conditions = (
        "true",
        "order_status = 'CREATED'",
        "runner_id = 'runner-1'",
        "order_status = 'ACCEPTED' AND runner_id = 'runner-1'",
        "cust_id = 'customer-1'",
    )
    return [tables.one(f"SELECT count(*) FROM orders WHERE {condition}") for condition in conditions]


def load(tables: Tables, times: list[datetime]) -> None:
    for number, made in enumerate(times):
        tables.rows(ROW, f"order-{number:04}", "customer-1", None, "CREATED", made, made)


def test_totals_follow_every_change_folded_or_not(own: Caller, own_tables: Tables) -> None:
    """[H3] [H5]"""
    rng = random.Random(7)
    orders: list[str] = []
    for step in range(60):
        if len(orders) < 5 or rng.random() < 0.3:
            orders.append(own.new(rng.choice(STATUSES[:3]), customer_id=f"customer-{rng.randrange(2)}"))
        else:
            own.update(rng.choice(orders), rng.choice(STATUSES[:4]))
        if step % 7 == 0:
            fold(own_tables, rng.choice((1, 3, 1000)))
        assert totals(own) == counted(own_tables)
    while fold(own_tables):
        pass
    assert totals(own) == counted(own_tables)


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE orders SET order_status = 'PLACED', runner_id = 'runner-1'",
        "UPDATE orders SET cust_id = 'customer-2', created_at = created_at - interval '3 days'",
        "DELETE FROM orders WHERE order_id = 'order-0001'",
        "TRUNCATE orders",
    ],
)
def test_what_others_do_to_the_table_is_counted_too(own: Caller, own_tables: Tables, change: str) -> None:
    """[H3] The service before this one, an older version beside it, a person."""
    load(own_tables, [NOON + timedelta(hours=number) for number in range(4)])
    fold(own_tables)
    own_tables.rows(change)
    assert totals(own) == counted(own_tables)
    fold(own_tables)
    assert totals(own) == counted(own_tables)
    assert own_tables.rows("SELECT * FROM order_count_deltas") == []


def test_a_change_that_is_undone_is_not_counted(own: Caller, own_tables: Tables) -> None:
    """[H3]"""
    load(own_tables, [NOON])
    own_tables.rows("BEGIN; DELETE FROM orders; ROLLBACK")
    assert totals(own) == counted(own_tables) == [1, 1, 0, 0, 1]


@pytest.mark.parametrize("folded", [0, 5, 1000])
@pytest.mark.parametrize("spread", [timedelta(0), timedelta(seconds=7), timedelta(minutes=13), timedelta(hours=9)])
def test_every_page_is_where_it_would_be_by_walking(
    own: Caller, own_tables: Tables, monkeypatch: pytest.MonkeyPatch, spread: timedelta, folded: int
) -> None:
    """[H3] In one minute, in some minutes, over hours, over days."""
    monkeypatch.setattr(pages_sql, "DEEP", 1)
    load(own_tables, [NOON + number * spread for number in range(25)])
    fold(own_tables, folded)
    wanted = [
        row["order_id"] for row in own_tables.rows("SELECT * FROM orders ORDER BY created_at DESC, order_id DESC")
    ]
    for limit in (1, 4, 10):
        pages = [own.get("/orders", page=number, limit=limit).json for number in range(1, 25 // limit + 3)]
        assert [order["orderId"] for page in pages for order in page["items"]] == wanted
        assert {page["total"] for page in pages} == {25}


PLACES = "SELECT kind, value, orders FROM order_counts WHERE kind IN ('sday', 'shour', 'sminute') ORDER BY 1, 2"


def forget_places(tables: Tables) -> None:
    """As the migration leaves a large table: only what came since is counted under its status."""
    tables.rows("DELETE FROM order_count_marks; DELETE FROM order_counts WHERE kind LIKE 's%' AND kind <> 'status'")


def place(url: str) -> None:
    database = Database(url)
    Housekeeping(Pool(database, 1), dict, Alarms()).place_statuses()
    database.drop_idle()


@pytest.mark.parametrize("placed", ["as they came", "not yet", "later"])
@pytest.mark.parametrize("spread", [timedelta(seconds=7), timedelta(hours=9)])
def test_every_page_under_a_status_is_where_it_would_be_by_walking(
    own: Caller, own_tables: Tables, monkeypatch: pytest.MonkeyPatch, spread: timedelta, placed: str
) -> None:
    """[H3] Whether the minutes of the status are counted or not yet; with orders in them that are not folded."""
    monkeypatch.setattr(pages_sql, "DEEP", 1)
    load(own_tables, [NOON + number * spread for number in range(25)])
    fold(own_tables, 15)
    if placed != "as they came":
        forget_places(own_tables)
    own_tables.rows("UPDATE orders SET order_status = 'CREATED' WHERE order_id LIKE '%3'")
    fold(own_tables, 3)
    if placed == "later":
        place(own_tables.url)
    for status in ("CREATED", "ACCEPTED", "CANCELLED"):
        wanted = own_tables.rows(
            "SELECT order_id FROM orders WHERE order_status = %s ORDER BY created_at DESC, order_id DESC", status
        )
        for limit in (1, 4):
            numbers = range(1, len(wanted) // limit + 3)
            pages = [own.get("/orders", page=number, limit=limit, status=status).json for number in numbers]
            found = [order["orderId"] for page in pages for order in page["items"]]
            assert found == [row["order_id"] for row in wanted]
            assert {page["total"] for page in pages} == {len(wanted)}


@pytest.mark.parametrize(
    ("path", "query", "column"),
    [("/orders", {"runnerId": "one"}, "runner_id"), ("/orders/customer/one", {}, "cust_id")],
)
def test_every_page_of_a_runner_or_customer_is_where_it_would_be_by_walking(
    own: Caller, own_tables: Tables, monkeypatch: pytest.MonkeyPatch, path: str, query: dict[str, str], column: str
) -> None:
    """[H3] From both ends of the index, with orders of one time and of none."""
    monkeypatch.setattr(pages_sql, "DEEP", 1)
    load(own_tables, [NOON + number // 3 * timedelta(minutes=50) for number in range(24)])
    own_tables.rows(f"UPDATE orders SET {column} = 'one' WHERE order_id NOT LIKE '%3'")
    own_tables.rows("ALTER TABLE orders ALTER created_at DROP NOT NULL")
    own_tables.rows("UPDATE orders SET created_at = NULL WHERE order_id LIKE '%5'")
    fold(own_tables, 7)
    wanted = own_tables.rows(
        f"SELECT order_id FROM orders WHERE {column} = 'one' ORDER BY created_at DESC, order_id DESC"
    )
    for limit in (1, 4, 1000):
        pages = [own.get(path, page=number, limit=limit, **query).json for number in range(1, len(wanted) // limit + 4)]
        found = [order["orderId"] for page in pages for order in page["items"]]
        assert found == [row["order_id"] for row in wanted]
        assert {page["total"] for page in pages} == {len(wanted)}


@pytest.mark.parametrize("time", ["infinity", "-infinity", "12026-01-01"])
def test_an_order_of_a_time_that_no_minute_has_shifts_no_page(
    own: Caller, own_tables: Tables, monkeypatch: pytest.MonkeyPatch, time: str
) -> None:
    """[H3] Folded or not, before all others or behind them."""
    monkeypatch.setattr(pages_sql, "DEEP", 1)
    load(own_tables, [NOON + number * timedelta(minutes=50) for number in range(12)])
    own_tables.rows(f"UPDATE orders SET created_at = '{time}' WHERE order_id LIKE '%3'")
    wanted = own_tables.rows("SELECT order_id, order_status FROM orders ORDER BY created_at DESC, order_id DESC")
    for _ in range(2):
        for status in (None, wanted[0]["order_status"], wanted[-1]["order_status"]):
            query = {} if status is None else {"status": status}
            pages = [own.get("/orders", page=number, limit=1, **query).json for number in range(1, 14)]
            found = [order["orderId"] for page in pages for order in page["items"]]
            assert found == [row["order_id"] for row in wanted if status in (None, row["order_status"])]
        fold(own_tables)


def test_the_minutes_of_each_status_are_counted_once_however_late(own_tables: Tables) -> None:
    """[H3] By housekeeping what the migration left out; nothing is counted twice."""
    load(own_tables, [NOON + number * timedelta(minutes=50) for number in range(20)])
    fold(own_tables)
    wanted = own_tables.rows(PLACES)
    forget_places(own_tables)
    own_tables.rows("UPDATE orders SET order_status = 'PLACED' WHERE order_id LIKE '%3'")
    fold(own_tables, 3)
    place(own_tables.url)
    place(own_tables.url)
    own_tables.rows("UPDATE orders SET order_status = 'CREATED' WHERE order_id LIKE '%3'")
    fold(own_tables)
    assert own_tables.rows(str(MISCOUNTED)) == []
    assert {row["kind"] for row in wanted} == {row["kind"] for row in own_tables.rows(PLACES)}


def test_a_deep_page_reads_the_minutes_of_its_day_alone(own_tables: Tables) -> None:
    """[H3] Or it would be slower the longer the service has been in use."""
    load(own_tables, [NOON])
    own_tables.rows(
        "INSERT INTO order_counts SELECT 'minute', to_char(at, 'YYYY-MM-DD HH24:MI'), 1 "
        "FROM generate_series('2026-01-01', '2026-01-20', interval '1 minute') AS at; ANALYZE order_counts"
    )
    own_tables.rows("INSERT INTO order_counts VALUES ('day', '2026-01-10', 1440)")
    query = pages_sql.page((), pages_sql.DEEP).sql.replace("$1", "10").replace("$2", "700")
    plan = "\n".join(row["QUERY PLAN"] for row in own_tables.rows(f"EXPLAIN ANALYZE {query}"))
    read_in_vain = [int(rows) for rows in re.findall(r"Rows Removed by Filter: (\d+)", plan)]
    assert sum(read_in_vain) < 2 * 24 * 60


def test_an_old_minute_that_lost_its_orders_is_passed_over(
    own: Caller, own_tables: Tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    """[H3]"""
    monkeypatch.setattr(pages_sql, "DEEP", 1)
    load(own_tables, [NOON + timedelta(days=number) for number in range(6)])
    fold(own_tables)
    own_tables.rows("DELETE FROM orders WHERE order_id IN ('order-0002', 'order-0003')")
    pages = [own.get("/orders", page=number, limit=1).json for number in range(1, 6)]
    assert [[order["orderId"] for order in page["items"]] for page in pages] == [
        ["order-0005"], ["order-0004"], ["order-0001"], ["order-0000"], [],
    ]  # fmt: skip


def test_a_table_that_is_taken_over_is_counted_once(database_url: str) -> None:
    """[H3] Orders that were there before the counts."""
    app = make_app(database_url)
    address = app.extensions["settings"].database_url
    migrate(address)
    tables, caller = Tables(database_url), Caller(app.test_client())
    load(tables, [NOON, NOON])
    tables.rows("DELETE FROM order_counts; DELETE FROM order_count_deltas")
    tables.rows("SELECT recount_orders()")
    assert totals(caller) == counted(tables)
    tables.close()


def test_a_page_never_contradicts_its_total_while_others_write_and_fold(
    own: Caller, own_app: Flask, own_tables: Tables, database_url: str
) -> None:
    """[H3] One snapshot for both."""
    name, stop = unique("customer"), threading.Event()

    def write() -> None:
        caller = Caller(own_app.test_client())
        while not stop.is_set():
            caller.new(customer_id=name)

    def fold_on() -> None:
        tables = Tables(database_url)
        while not stop.is_set():
            fold(tables, 3)
        tables.close()

    def read() -> None:
        try:
            for _ in range(40):
                page = own.get(f"/orders/customer/{name}", limit=1000).json
                assert page["total"] == len(page["items"])
                if page["total"] > 900:  # one more look could find more than a page holds
                    break
        finally:
            stop.set()

    calls: list[Callable[[], None]] = [write, fold_on, read]
    at_once(calls)
    assert totals(own) == counted(own_tables)


DATA_OF = (
    "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public' "
    "AND table_name NOT LIKE '%schema' ORDER BY table_name"
)


@contextmanager
def with_copy() -> Iterator[None]:
    """Let psycopg2 wait by itself for the body: with the service's way of waiting there is no COPY."""
    ours = extensions.get_wait_callback()
    extensions.set_wait_callback(None)
    try:
        yield
    finally:
        extensions.set_wait_callback(ours)


def restore_data(source: Tables, target: Tables) -> None:
    """As `pg_dump --data-only source | psql target`: table by table, with an empty search path."""
    with (
        with_copy(),
        closing(source.connect()) as giver,
        closing(target.connect()) as taker,
        taker,
        taker.cursor() as writing,
    ):
        writing.execute("SELECT pg_catalog.set_config('search_path', '', false)")
        for row in source.rows(DATA_OF):
            data = io.BytesIO()
            giver.cursor().copy_expert(f"COPY public.{row['table_name']} TO stdout", data)
            data.seek(0)
            writing.copy_expert(f"COPY public.{row['table_name']} FROM stdin", data)
        for row in source.rows("SELECT sequencename, coalesce(last_value, 1) AS last FROM pg_sequences"):
            writing.execute("SELECT pg_catalog.setval(%s, %s)", (f"public.{row['sequencename']}", row["last"]))


@pytest.mark.parametrize("folded", [False, True])
def test_a_restored_dump_of_data_alone_is_counted_once(
    own: Caller, own_tables: Tables, postgres: Postgres, folded: bool
) -> None:
    """[H3]"""
    for customer in range(7):
        own.new("ACCEPTED", customer_id=f"customer-{customer % 2}")
    if folded:
        fold(own_tables)
    url = postgres.create_database(unique("restored").replace("-", "_"))
    app = make_app(url)
    migrate(app.extensions["settings"].database_url)
    with closing(Tables(url)) as target:
        restore_data(own_tables, target)
        restored = Caller(app.test_client())
        assert (totals(restored), totals(restored)) == (totals(own), counted(target))
        restored.new("CREATED", customer_id="customer-1")
        fold(target)
        assert totals(restored) == counted(target)
        assert target.rows(str(MISCOUNTED)) == []


@pytest.mark.parametrize("filters", FILTERS)
def test_past_the_end_nothing_is_walked(own: Caller, own_tables: Tables, filters: dict[str, str]) -> None:
    """[H3]: whoever asks for page 999999999999 does not read all orders."""
    for _ in range(3):
        own.new("ACCEPTED")
    statement = pages_sql.page([{"status": "order_status", "runnerId": "runner_id"}[name] for name in filters], 10**9)
    values = [*filters.values(), 10, 10**9]
    sql = re.sub(r"\$(\d+)", lambda place: repr(values[int(place[1]) - 1]), statement.sql)
    plan = "\n".join(row["QUERY PLAN"] for row in own_tables.rows(f"EXPLAIN (ANALYZE, COSTS OFF) {sql}"))
    assert "on orders" not in plan or "never executed" in plan
    assert own.get("/orders", page=10**8, **filters).json["items"] == []
