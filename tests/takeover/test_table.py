"""The service starts on the table of the one before it: every order is as it was, and goes on."""

import json
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from tests.harness.predecessor import leave_behind, read_rows
from tests.harness.service import Instance
from tools.stack.postgres import Postgres

PAGE = 1000
NOWHERE = "127.0.0.1:1"


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


@pytest.mark.timeout(300)  # a hundred pages of a thousand orders
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


def test_the_way_back_leaves_the_table_as_the_predecessor_reads_it(postgres: Postgres, tmp_path: Path) -> None:
    """Nothing has to be undone: its columns are all there with their types, new ones have defaults."""
    database_url = postgres.create_database("way_back")
    left = leave_behind(database_url, 1_000, "varchar")
    start(tmp_path, database_url).stop()
    assert read_rows(database_url) == left
    with closing(psycopg2.connect(database_url)) as connection, connection, connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO orders (order_id, cust_id, order_description, food_fee, delivery_fee, delivery_location, "
            "order_status, created_at, updated_at) VALUES ('back', 'c', '[]', 1, 1, 'd', 'PENDING', now(), now())"
        )
    assert "back" in read_rows(database_url)
    postgres.drop_database("way_back")
