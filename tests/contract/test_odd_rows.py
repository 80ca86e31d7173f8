"""Rows as a table that was taken over may have them: none keeps a list, or another order, from working.

Each row holds what the types of its columns allow, with the constraints dropped that such a table may not have.
"""

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from app.database.database import Database
from app.database.pool import Pool
from app.database.schema import migrate
from app.services import order_service
from app.services.housekeeping import Housekeeping
from app.utils.alarms import Alarms
from tests.contract.conftest import Tables, make_app
from tests.harness.builders import Caller
from tools.stack.postgres import Postgres

BARE = {"order_id": "odd", "cust_id": "odd customer", "order_status": "ACCEPTED", "runner_id": "odd runner"}
BARE |= {"order_description": "[]", "food_fee": "1.00", "delivery_fee": "0", "delivery_location": "here"}
BARE |= {"created_at": "2026-01-01", "updated_at": "2026-01-01"}
TIMES = ("created_at", "updated_at", "accepted_at", "placed_at", "picked_up_at", "delivered_at", "completed_at")
ODD: dict[str, dict[str, Any]] = {
    "no times": dict.fromkeys(TIMES),
    "infinity": dict.fromkeys(TIMES, "infinity"),
    "minus infinity": dict.fromkeys(TIMES, "-infinity"),
    "before Christ": dict.fromkeys(TIMES, "0044-03-15 BC"),
    "in ten thousand years": dict.fromkeys(TIMES, "12026-01-01"),
    "no money": {"food_fee": None, "delivery_fee": None},
    "not a number": {"food_fee": "NaN", "delivery_fee": "NaN"},
    "negative money": {"food_fee": "-1", "delivery_fee": "-0"},
    "no texts": dict.fromkeys(("cust_id", "runner_id", "order_description", "delivery_location", "saga_id")),
    "empty texts": dict.fromkeys(("cust_id", "runner_id", "order_description", "delivery_location", "saga_id"), ""),
    "unknown status": {"order_status": "accepted"},
    "no status": {"order_status": None},
    "unknown payment": {"payment_status": "PAID"},
    "description that is no JSON": {"order_description": "two burritos"},
    "negative version": {"version": -7},
}
FREED = ("cust_id", "order_description", "food_fee", "delivery_fee", "delivery_location", "order_status")


@pytest.fixture(scope="module")
def own_tables(postgres: Postgres) -> Iterator[Tables]:
    url = postgres.create_database("odd_rows")
    migrate(make_app(url).extensions["settings"].database_url)
    found = Tables(url)
    for column in (*FREED, "created_at", "updated_at"):
        found.rows(f"ALTER TABLE orders ALTER {column} DROP NOT NULL")
    found.rows("ALTER TABLE orders DROP CONSTRAINT ck_orders_order_status, DROP CONSTRAINT ck_orders_payment_status")
    found.rows("ALTER TABLE order_count_deltas ALTER order_status DROP NOT NULL")
    yield found
    found.close()


@pytest.fixture(scope="module")
def own_app(own_tables: Tables) -> Any:
    return make_app(own_tables.url)


@pytest.fixture
def caller(own_app: Any, own_tables: Tables) -> Caller:
    own_tables.rows("TRUNCATE orders, order_changes, outbox")
    return Caller(own_app.test_client())


def insert(tables: Tables, **odd: Any) -> None:
    row = BARE | odd
    tables.rows(f"INSERT INTO orders ({', '.join(row)}) VALUES ({', '.join(['%s'] * len(row))})", *row.values())


@pytest.mark.parametrize("odd", ODD.values(), ids=ODD)
def test_no_row_keeps_lists_and_other_orders_from_working(
    caller: Caller, own_tables: Tables, odd: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """[H3] [H4] [H5]"""
    other = caller.new("ACCEPTED")
    insert(own_tables, **odd)
    pages = caller.get("/orders"), caller.get("/orders", page=2, limit=1), caller.get("/orders", status="ACCEPTED")
    assert [page.status_code for page in pages] == [200] * 3
    assert {item["orderId"] for item in pages[0].json["items"]} == {other, "odd"}
    assert caller.get("/orders/customer/odd customer").status_code == 200
    assert caller.get("/orders", runnerId="odd runner", status="ACCEPTED").status_code == 200
    assert caller.order("odd")["orderId"] == "odd"
    assert caller.update(other, "PLACED").status_code == 200
    for tries in (0, 3):  # with the lock, and without
        monkeypatch.setattr(order_service, "TRIES_WITHOUT_LOCK", tries)
        assert caller.update("odd", ("PLACED", "DELIVERED")[tries // 3]).status_code == 200
    assert caller.post("/completeOrder", {"orderId": "odd"}).json["order"]["orderStatus"] == "COMPLETED"


@pytest.mark.parametrize("time", ["infinity", "12026-01-01"])
def test_a_time_that_is_null_on_the_wire_is_kept_when_the_order_changes(
    caller: Caller, own_tables: Tables, time: str
) -> None:
    """[O3] [R3]: `createdAt` never changes."""
    insert(own_tables, created_at=time)
    assert caller.order("odd")["createdAt"] is None
    assert caller.update("odd", "PLACED").json["order"]["createdAt"] is None
    assert own_tables.one("SELECT created_at = %s::timestamp FROM orders", time) is True


def test_money_that_is_no_number_is_null(caller: Caller, own_tables: Tables) -> None:
    """[O2]"""
    insert(own_tables, food_fee="NaN", delivery_fee=None)
    order = caller.order("odd")
    assert (order["foodFee"], order["deliveryFee"]) == (None, None)


def test_an_order_without_a_time_is_given_the_first_one_that_is_known(caller: Caller, own_tables: Tables) -> None:
    """[O3]: lists are sorted by it; one that is locked has its turn later."""
    insert(own_tables, order_id="moved", created_at=None, updated_at="2026-02-02", accepted_at="2026-02-01")
    insert(own_tables, order_id="nothing", created_at=None, updated_at=None)
    insert(own_tables, order_id="locked", created_at=None)
    keeper = Housekeeping(Pool(Database(own_tables.url), 1), dict, Alarms())
    with own_tables.row_locked("locked"):
        assert keeper.give_times(threading.Event(), lambda: None) == 2
    assert keeper.give_times(threading.Event(), lambda: None) == 1
    assert caller.order("moved")["createdAt"] == "2026-02-01T00:00:00+00:00"
    assert own_tables.one(
        "SELECT now() AT TIME ZONE 'UTC' - created_at < '1 min' FROM orders WHERE order_id = 'nothing'"
    )
    assert caller.get("/orders").json["total"] == 3
