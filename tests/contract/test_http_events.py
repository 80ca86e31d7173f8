"""What each HTTP change leaves in the outbox and in the history."""

import json
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest

from tests.contract.conftest import Tables
from tests.harness.builders import Caller, create_body

PAYLOAD = ["customerId", "runnerId", "orderId", "status", "event", "correlation_id", "source", "version"]
ENVELOPE = ["type", "correlation_id", "timestamp", "payload", "source", "event_id"]

Change = Callable[[Caller, str], Any]
# type: the status before, what is done, the payload's status, the runner concerned
CHANGES: dict[str, tuple[str, Change, str, str | None]] = {
    "ORDER_UPDATED": ("PENDING", lambda api, it: api.update(it, "CREATED"), "updated", None),
    "ORDER_ACCEPTED": ("CREATED", lambda api, it: api.accept(it, "runner-7"), "accepted", "runner-7"),
    "ORDER_CANCELLED": ("CREATED", lambda api, it: api.post("/cancelOrder", {"orderId": it}), "cancelled", None),
    "ORDER_ACCEPTANCE_CANCELLED": (
        "ACCEPTED",
        lambda api, it: api.post("/cancelAcceptance", {"orderId": it}),
        "acceptanceCancelled",
        "runner-7",
    ),
    "ORDER_RUNNER_CLEARED": ("ACCEPTED", lambda api, it: api.clear(it), "runnerCleared", "runner-7"),
    "ORDER_COMPLETED": (
        "DELIVERED",
        lambda api, it: api.post("/completeOrder", {"orderId": it}),
        "completed",
        "runner-7",
    ),
}


def last_event(tables: Tables, order_id: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the newest row of the outbox and the record in it."""
    row = tables.events(order_id)[-1]
    return row, json.loads(bytes(row["payload"]))


@pytest.mark.parametrize("event_type", CHANGES)
def test_each_change_is_announced_by_its_event(api: Caller, tables: Tables, event_type: str) -> None:
    """[K12] [K2] [K3]"""
    start, change, status, runner = CHANGES[event_type]
    order_id = api.new(start, "runner-7", "customer-9")
    assert change(api, order_id).status_code == 200
    order, (row, record) = api.order(order_id), last_event(tables, order_id)
    assert (list(record), list(record["payload"])) == (ENVELOPE, PAYLOAD)
    assert json.loads(record["payload"].pop("event")) == order
    assert record["payload"] == {
        "customerId": "customer-9",
        "runnerId": runner,
        "orderId": order_id,
        "status": status,
        "correlation_id": record["correlation_id"],
        "source": "order-service",
        "version": order["version"],
    }
    assert (record["type"], row["type"], row["version"]) == (event_type, event_type, order["version"])


def test_a_create_is_announced_with_the_new_order(api: Caller, tables: Tables) -> None:
    """[K12] [K3]"""
    order_id = api.create(create_body("customer-9"))
    _, record = last_event(tables, order_id)
    payload = record["payload"]
    assert (record["type"], payload["status"], payload["version"]) == ("ORDER_CREATED", "created", 1)
    assert payload["runnerId"] is None
    assert json.loads(payload["event"]) == api.order(order_id)


def test_row_record_and_history_carry_the_same_ids(api: Caller, tables: Tables) -> None:
    """[K2] [K13]"""
    order_id = api.create()
    row, record = last_event(tables, order_id)
    (change,) = tables.changes(order_id)
    assert UUID(record["event_id"]) == UUID(str(row["event_id"])) == UUID(str(change["change_id"]))
    assert (row["aggregateid"], row["aggregatetype"], row["correlation_id"]) == (
        order_id, "order", record["correlation_id"],
    )  # fmt: skip
    assert record["timestamp"].endswith("+00:00")


def test_a_test_order_is_not_announced_but_has_its_line_of_history(api: Caller, tables: Tables) -> None:
    """[H7] [K3]: the first version that is announced is 2."""
    order_id = api.create(path="/testCreateOrder")
    assert tables.events(order_id) == []
    assert [change["version"] for change in tables.changes(order_id)] == [1]
    api.update(order_id, "CREATED")
    assert [event["version"] for event in tables.events(order_id)] == [2]


def test_the_versions_of_a_whole_life_have_no_gap(api: Caller, tables: Tables) -> None:
    """[K3] [K13] [O5]"""
    order_id = api.new("COMPLETED")
    events, changes = tables.events(order_id), tables.changes(order_id)
    assert [event["version"] for event in events] == [1, 2, 3, 4] == [change["version"] for change in changes]
    assert api.order(order_id)["version"] == 4
    assert len({event["event_id"] for event in events}) == 4


def test_the_history_tells_where_from_where_to_and_by_whom(api: Caller, tables: Tables) -> None:
    """[K3]"""
    order_id = api.create()
    api.post("/updateOrderStatus", {"orderId": order_id, "status": "CREATED"}, X_Correlation_ID="why")
    change = tables.changes(order_id)[-1]
    told = ("kind", "from_status", "to_status", "door", "correlation_id")
    assert [change[name] for name in told] == ["updated", "PENDING", "CREATED", "http", "why"]


def test_records_are_plain_utf8_json(api: Caller, tables: Tables) -> None:
    """[K14] [K12]"""
    order_id = api.create(create_body("ü✓🍕", storeLocation='"quoted" \\ \u2028'))
    _, record = last_event(tables, order_id)
    assert record["payload"]["customerId"] == "ü✓🍕"
    assert json.loads(record["payload"]["event"])["storeLocation"] == '"quoted" \\ \u2028'


def test_going_back_by_an_update_is_announced_as_an_update_without_runner(api: Caller, tables: Tables) -> None:
    """[K12] [R3]"""
    order_id = api.new("ACCEPTED", "runner-7")
    api.update(order_id, "CREATED")
    _, record = last_event(tables, order_id)
    assert (record["type"], record["payload"]["runnerId"]) == ("ORDER_UPDATED", None)


def test_a_taken_over_order_is_announced_from_version_two_on(api: Caller, tables: Tables) -> None:
    """[K3]"""
    order_id = api.new("CREATED")
    tables.rows("DELETE FROM order_changes WHERE order_id = %s", order_id)
    tables.rows("UPDATE orders SET version = 1 WHERE order_id = %s", order_id)
    api.update(order_id, "PLACED")
    assert tables.events(order_id)[-1]["version"] == 2
