"""What HTTP changes put on the topic next to the replies [K12]."""

import json
from typing import Any

from tests.harness.world import Row, World, a_cancel, a_create, an_update, details

BODY: dict[str, Any] = {"customer_id": "ann", "order_details": details()}
ORDER_FIELDS = [
    "orderId",
    "custId",
    "runnerId",
    "orderDescription",
    "foodFee",
    "deliveryFee",
    "storeLocation",
    "deliveryLocation",
    "orderStatus",
    "sagaId",
    "createdAt",
    "updatedAt",
    "acceptedAt",
    "placedAt",
    "pickedUpAt",
    "deliveredAt",
    "completedAt",
    "cancelledAt",
    "paymentStatus",
    "cancelReason",
    "version",
]


def post(world: World, path: str, correlation_id: str = "c-1", **body: Any) -> dict[str, Any]:
    client = world.apps[0].test_client()
    answer = client.post(path, json=body, headers={"X-Correlation-ID": correlation_id})
    assert answer.status_code in (200, 201), answer.text
    return dict(answer.get_json())


def new_order(world: World) -> str:
    return str(post(world, "/createOrder", **BODY)["order_id"])


def events(world: World) -> list[Row]:
    """All records in the order of their versions."""
    world.settle()
    return sorted(world.replies(), key=lambda row: row["payload"]["version"])


def test_an_http_change_is_announced_with_the_order_as_text(running: World) -> None:
    """[K12] [K2] [K3]"""
    order_id = str(post(running, "/createOrder", "my-id", **BODY)["order_id"])
    (row,) = events(running)
    order = json.loads(row["payload"].pop("event"))
    payload = {"customerId": "ann", "runnerId": None, "orderId": order_id, "status": "created"}
    rest = {"correlation_id": "my-id", "source": "order-service", "version": 1}
    assert row["payload"] == payload | rest
    assert sorted(order) == sorted(ORDER_FIELDS)
    assert (order["orderStatus"], order["foodFee"], order["deliveryFee"]) == ("PENDING", 17.0, 3.99)
    assert (row["key"].decode(), row["body"]["type"], row["headers"]["type"]) == (order_id, *["ORDER_CREATED"] * 2)
    assert (row["headers"]["version"], row["headers"]["correlation_id"]) == ("1", "my-id")


def test_every_kind_of_http_change_has_its_type_status_and_runner(running: World) -> None:
    """[K12]"""
    order_id = new_order(running)
    named = {"orderId": order_id}
    post(running, "/updateOrderStatus", **named, status="CREATED")
    post(running, "/verifyAndAcceptOrder", **named, runner_id="bob")
    post(running, "/cancelAcceptance", **named)
    post(running, "/verifyAndAcceptOrder", **named, runner_id="eve")
    post(running, "/clearRunner", **named)
    post(running, "/completeOrder", **named)
    told = [(row["body"]["type"], row["payload"]["status"], row["payload"]["runnerId"]) for row in events(running)]
    assert told == [
        ("ORDER_CREATED", "created", None),
        ("ORDER_UPDATED", "updated", None),
        ("ORDER_ACCEPTED", "accepted", "bob"),
        ("ORDER_ACCEPTANCE_CANCELLED", "acceptanceCancelled", "bob"),
        ("ORDER_ACCEPTED", "accepted", "eve"),
        ("ORDER_RUNNER_CLEARED", "runnerCleared", "eve"),
        ("ORDER_COMPLETED", "completed", None),
    ]


def test_the_customers_cancel_is_announced_with_the_order_after_it(running: World) -> None:
    """[K12]"""
    order_id = new_order(running)
    post(running, "/updateOrderStatus", orderId=order_id, status="CREATED")
    post(running, "/cancelOrder", orderId=order_id)
    row = events(running)[-1]
    assert (row["body"]["type"], row["payload"]["status"]) == ("ORDER_CANCELLED", "cancelled")
    assert json.loads(row["payload"]["event"])["orderStatus"] == "CANCELLED"


def test_a_test_order_is_not_announced_and_its_next_change_has_version_two(running: World) -> None:
    """[H7] [K3]"""
    order_id = post(running, "/testCreateOrder", **BODY)["order_id"]
    post(running, "/updateOrderStatus", orderId=order_id, status="CREATED")
    (row,) = events(running)
    assert (row["body"]["type"], row["payload"]["version"]) == ("ORDER_UPDATED", 2)


def test_repeats_and_refusals_over_http_are_not_announced(running: World) -> None:
    """[R4] [K3]"""
    order_id = new_order(running)
    post(running, "/updateOrderStatus", orderId=order_id, status="PENDING")
    refused = running.apps[0].test_client().post("/cancelOrder", json={"orderId": order_id})
    assert refused.status_code == 400
    assert len(events(running)) == 1


def test_a_kafka_change_is_announced_by_its_reply_alone(running: World) -> None:
    """[K7] [K12]"""
    order_id = running.create()
    running.ask(an_update(order_id, "PLACED"))
    running.ask(a_cancel(order_id))
    types = [row["body"]["type"] for row in events(running)]
    assert types == ["order.created", "order.status_updated", "order.cancelled"]


def test_changes_over_both_doors_share_one_gapless_row_of_versions(running: World) -> None:
    """[K3] [K12]"""
    order_id = running.create()
    post(running, "/updateOrderStatus", orderId=order_id, status="CREATED")
    running.ask(an_update(order_id, "PLACED"))
    post(running, "/completeOrder", orderId=order_id)
    rows = events(running)
    assert [row["payload"]["version"] for row in rows] == [1, 2, 3, 4]
    assert len({row["partition"] for row in rows}) == 1
    assert [row["offset"] for row in rows] == sorted(row["offset"] for row in rows)


def test_an_order_of_a_saga_shows_its_saga_in_later_http_events(running: World) -> None:
    """[K12]"""
    (reply,) = running.ask(a_create("saga-1"))
    post(running, "/completeOrder", orderId=reply["payload"]["order_id"])
    assert json.loads(events(running)[-1]["payload"]["event"])["sagaId"] == "saga-1"
