"""The service starts on the table of the one before it: every order is as it was, and goes on."""

import json
import re
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from app.database.consistency import MISCOUNTED
from tests.harness.predecessor import leave_behind, read_rows
from tests.harness.service import Instance
from tools.stack.postgres import Postgres

PAGE = 1000
NOWHERE = "127.0.0.1:1"
REPLACING = (Path(__file__).resolve().parents[2] / "docs" / "replacing.md").read_text()
A_NEW_ORDER = """
INSERT INTO orders (order_id, cust_id, order_description, food_fee, delivery_fee, delivery_location, order_status,
    created_at, updated_at)
VALUES ('back', 'c', '[]', 1, 1, 'd', 'PENDING', now(), now())
"""
"""As the service before writes it."""


def start(folder: Path, database_url: str) -> Instance:
    """Start the service on the database; no broker is needed for the table."""
    instance = Instance(folder, {"DATABASE_URL": database_url, "KAFKA_BOOTSTRAP_SERVERS": NOWHERE})
    instance.start()
    return instance


def all_orders(instance: Instance) -> Iterator[dict[str, Any]]:
    """Yield every order that the lists have."""
    page = pages = 1
    while page <= pages:
        status, body = instance.get(f"/orders?limit={PAGE}&page={page}")
        assert status == 200, body
        answer = json.loads(body)
        yield from answer["items"]
        page, pages = page + 1, answer["pages"]


def post(instance: Instance, path: str, body: dict[str, Any]) -> Any:
    """Return the JSON answer of a POST that succeeds."""
    request = urllib.request.Request(
        instance.url + path, json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=20) as answer:
        return json.load(answer)


def rows(database_url: str, query: str, *parameters: object) -> list[tuple[Any, ...]]:
    """Return the rows of a query."""
    with closing(psycopg2.connect(database_url)) as connection, connection.cursor() as cursor:
        cursor.execute(query, parameters)
        return cursor.fetchall()


@pytest.mark.timeout(600)  # a hundred pages of a thousand orders
@pytest.mark.parametrize(("status_type", "count"), [("varchar", 100_000), ("enum", 2_000)])
def test_every_order_of_the_predecessor_is_as_it_was(
    database_url: str, tmp_path: Path, status_type: str, count: int
) -> None:
    """[O1] [O2] [O3] [O4]"""
    left = leave_behind(database_url, count, status_type)
    instance = start(tmp_path, database_url)
    try:
        seen = 0
        for order in all_orders(instance):
            expected = left[order["orderId"]] | {"paymentStatus": "PENDING", "cancelReason": None, "version": 1}
            assert order == expected
            seen += 1
        assert seen == count
    finally:
        instance.stop()


def test_a_taken_over_order_goes_on_at_version_2(database_url: str, tmp_path: Path) -> None:
    """[K3] Its first change here is announced as version 2, and its history begins there."""
    left = leave_behind(database_url, 100, "varchar")
    order_id = next(order_id for order_id, order in left.items() if order["orderStatus"] == "CREATED")
    instance = start(tmp_path, database_url)
    try:
        post(instance, "/verifyAndAcceptOrder", {"orderId": order_id, "runner_id": "runner-new"})
        answer = post(instance, "/updateOrderStatus", {"orderId": order_id, "status": "PLACED"})
    finally:
        instance.stop()
    assert (answer["order"]["version"], answer["order"]["runnerId"]) == (3, "runner-new")
    history = rows(database_url, "SELECT version, from_status, to_status FROM order_changes ORDER BY version")
    assert history == [(2, "CREATED", "ACCEPTED"), (3, "ACCEPTED", "PLACED")]
    assert rows(database_url, "SELECT type, version FROM outbox ORDER BY id") == [
        ("ORDER_ACCEPTED", 2),
        ("ORDER_UPDATED", 3),
    ]


def test_the_oldest_order_of_a_saga_id_owns_it(database_url: str, tmp_path: Path) -> None:
    """[K8] The table may hold a saga id twice."""
    left = leave_behind(database_url, 100, "varchar")
    start(tmp_path, database_url).stop()
    owners = dict(rows(database_url, "SELECT saga_id, order_id FROM saga_orders"))
    oldest: dict[str, str] = {}
    for order in sorted(left.values(), key=lambda order: order["createdAt"]):
        if order["sagaId"] is not None:
            oldest.setdefault(order["sagaId"], order["orderId"])
    assert owners == oldest
    assert len(owners) < sum(order["sagaId"] is not None for order in left.values())


@pytest.mark.parametrize("status_type", ["varchar", "enum"])
def test_the_way_back_leaves_the_table_as_the_predecessor_reads_it(
    postgres: Postgres, tmp_path: Path, status_type: str
) -> None:
    """Nothing has to be undone: its columns are all there, new ones have defaults."""
    with taken_over(postgres, tmp_path, status_type) as (database_url, left):
        assert read_rows(database_url) == left
        execute(database_url, A_NEW_ORDER)
        assert "back" in read_rows(database_url)


def test_a_long_way_back_without_the_counting_triggers_is_counted_again(postgres: Postgres, tmp_path: Path) -> None:
    """As docs/replacing.md has it; without `recount_orders` the lists would not have what the predecessor made."""
    off, on = re.findall(r"^    (ALTER TABLE orders \w+ TRIGGER.*?;)$", REPLACING, re.MULTILINE | re.DOTALL)
    with taken_over(postgres, tmp_path, "varchar") as (database_url, _):
        execute(database_url, off)
        execute(database_url, A_NEW_ORDER)
        execute(database_url, "UPDATE orders SET order_status = 'CANCELLED' WHERE order_status = 'CREATED'")
        assert rows(database_url, "SELECT count(*) FROM order_count_deltas") == [(0,)]
        execute(database_url, on)
        assert rows(database_url, str(MISCOUNTED)) != []
        execute(database_url, "SELECT recount_orders()")
        execute(database_url, "UPDATE orders SET order_status = 'CANCELLED' WHERE order_id = 'back'")
        assert rows(database_url, "SELECT count(*) FROM order_count_deltas") == [(2,)]
        assert rows(database_url, str(MISCOUNTED)) == []


@contextmanager
def taken_over(postgres: Postgres, folder: Path, status_type: str) -> Iterator[tuple[str, dict[str, dict[str, Any]]]]:
    """Yield a database that the service took over and left, and the orders in it."""
    database_url = postgres.create_database("way_back")
    left = leave_behind(database_url, 1_000, status_type)
    start(folder, database_url).stop()
    try:
        yield database_url, left
    finally:
        postgres.drop_database("way_back")


def execute(database_url: str, statement: str) -> None:
    """Run a statement in a transaction of its own."""
    with closing(psycopg2.connect(database_url)) as connection, connection, connection.cursor() as cursor:
        cursor.execute(statement)
