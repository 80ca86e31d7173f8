"""Nothing about a person is in the log, also at debug: each endpoint, each command, each kind of refusal and fault."""

import io
import json
import logging
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from werkzeug.test import Client, TestResponse

from app.utils.logging import TEXT_FORMAT, TextFormatter, add_ids
from tests.harness.builders import POSTS, Caller
from tests.harness.door import open_door, through
from tests.harness.terminal import Terminal
from tests.harness.world import World, a_cancel, a_command, a_create, an_update, details, wait_for

CUSTOMER, RUNNER, PLACE, DISH, WHY = "planted-ann", "planted-bob", "planted-street", "planted-dish", "planted-why"
PLANTED = "planted-"
ITEMS = [{"name": DISH, "price": 8.5, "quantity": 1}]
DETAILS = details(foodItems=ITEMS, deliveryLocation=PLACE, storeLocation="planted-store")
FORBIDDEN = "planted-forbidden"
SAID = ("POST /createOrder from", "GET /orders/… from", "command create_order at", "sent ", "unexpected error")
REFUSE = (
    "ALTER TABLE orders DROP CONSTRAINT ck_orders_order_status",
    f"ALTER TABLE orders ADD CONSTRAINT ck_orders_order_status CHECK (delivery_location <> '{FORBIDDEN}')",
)


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """All lines of the service's log at debug, as the service writes them."""
    lines = io.StringIO()
    handler = logging.StreamHandler(lines)
    handler.setFormatter(TextFormatter(TEXT_FORMAT))
    handler.addFilter(add_ids)
    logger = logging.getLogger("app")
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    yield lines
    logger.removeHandler(handler)
    logger.setLevel(before)
    print(*[line for line in lines.getvalue().splitlines() if "database" in line], sep="\n")  # shown if it fails


def bodies() -> Iterator[tuple[str, Any]]:
    """Yield good and bad bodies for each POST."""
    for path in POSTS:
        yield path, {"customer_id": CUSTOMER, "order_details": DETAILS}
        yield path, {"orderId": "unknown", "runner_id": RUNNER, "status": PLACE, "reason": WHY}
        yield path, {"customer_id": [CUSTOMER], "order_details": {"foodItems": DISH, "deliveryLocation": [PLACE]}}
        yield path, f'{{"customer_id": "{CUSTOMER}", "deliveryLocation": "{PLACE}"'.encode()
        yield path, f'{{"customer_id": "{CUSTOMER}", "customer_id": "{CUSTOMER}\\u0000"}}'.encode()
        yield path, [CUSTOMER, PLACE]


def a_life(api: Caller) -> None:
    """Call each POST with success."""
    for path in ("/createOrder", "/testCreateOrder"):
        made = api.post(path, {"customer_id": CUSTOMER, "order_details": DETAILS}, Idempotency_Key=f"key-{uuid4()}")
        assert made.status_code == 201, made.text
        order = {"orderId": made.json["order_id"]}
        for call, more in (
            ("/updateOrderStatus", {"status": "CREATED"}),
            ("/verifyAndAcceptOrder", {"runner_id": RUNNER}),
            ("/cancelAcceptance", {}),
            ("/verifyAndAcceptOrder", {"runner_id": RUNNER}),
            ("/clearRunner", {"runner_id": RUNNER}),
            ("/completeOrder", {}),
            ("/cancelOrder", {}),
        ):
            answer = api.post(call, order | more)
            assert answer.status_code == (200 if call != "/cancelOrder" else 400), answer.text


def every_call(api: Caller) -> None:
    a_life(api)
    for path, body in bodies():
        api.post(path, body)
    for path in ("/orders", "/getOrderDetails", f"/orders/customer/{CUSTOMER}", f"/unknown/{CUSTOMER}/x"):
        api.get(path, orderId="unknown", runnerId=RUNNER, status=PLACE)
        api.get(path, runnerId=RUNNER)
    api.post(f"/orders/customer/{CUSTOMER}", {})
    api.get(f"/orders/customer/{CUSTOMER}", page="0")


def every_command(world: World) -> None:
    order_id = world.create(customer_id=CUSTOMER, order_details=DETAILS)
    world.ask(
        an_update(order_id, "DELIVERED"),
        an_update(order_id, PLACE),
        an_update("unknown", "PLACED"),
        a_cancel(order_id, reason=WHY),
        a_create(customer_id=[CUSTOMER], order_details=DETAILS),
        a_create(customer_id=CUSTOMER, order_details=PLACE),
        a_command("type", {"customer_id": CUSTOMER}),
        {"type": "create_order", "payload": {"customer_id": CUSTOMER}},
        json.dumps({"customer_id": CUSTOMER}).encode()[:-1],
        CUSTOMER.encode() + b"\xff" + PLACE.encode(),
    )


def every_fault(world: World, api: Caller) -> None:
    """Let PostgreSQL refuse an order by a rule of ours, as a bug would have it, at both doors."""
    for statement in REFUSE:
        world.query(statement)
    bad = DETAILS | {"deliveryLocation": FORBIDDEN}
    for key in ({}, {"Idempotency_Key": "k"}):
        assert api.post("/createOrder", {"customer_id": CUSTOMER, "order_details": bad}, **key).status_code == 500
    (reply,) = world.ask(a_create(customer_id=CUSTOMER, order_details=bad))
    assert reply["payload"]["code"] == "internal_error"
    assert world.count("given_up_commands") == 1


def test_the_log_of_everything_names_nobody(running: World, log: io.StringIO) -> None:
    app = running.apps[-1]
    with open_door(app) as port:
        every_call(Caller(Client(through(port), TestResponse)))
    every_call(Caller(app.test_client()))
    running.settle()
    every_command(running)
    every_fault(running, Caller(app.test_client()))
    Terminal(running).run("list", "--customer", CUSTOMER)
    Terminal(running).run("forget", "--customer", CUSTOMER, "--reason", "r", "--yes")
    wait_for(lambda: "alarm command_given_up" in log.getvalue(), "the alarm of the fault")
    lines = log.getvalue().splitlines()
    assert [line for line in lines if PLANTED in line] == []
    for said in (
        "POST /createOrder from",
        "GET /orders/… from",
        "command create_order at",
        "sent ",
        "unexpected error",
    ):
        assert any(said in line for line in lines), said
