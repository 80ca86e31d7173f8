"""The bytes on the wire, pinned: one example file for each response and each event."""

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from app.models.forgetting import OVER, Person, Role
from app.operations import forget_orders
from tests.contract.conftest import Tables
from tests.contract.test_http_events import CHANGES
from tests.harness.builders import Caller, create_body, unique

EXAMPLES = Path(__file__).parent / "examples"
UUID = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?\+00:00"
PLACEHOLDERS = (
    (rf'(event_id\\*": ?\\*"){UUID}', r"\1<event_id>"),
    (rf'(correlation_id\\*": ?\\*"){UUID}', r"\1<correlation_id>"),
    (UUID, "<order_id>"),
    (TIME, "<time>"),
)
DETAILS: dict[str, Any] = {"storeLocation": "Cantina", "deliveryFee": 3.99}
NEW = create_body(**DETAILS)


def post(path: str, body: Any = None, start: str | None = None, **headers: str) -> Callable[[Caller], Any]:
    """Return a call of `path`, for an order in status `start` where one is given."""

    def call(api: Caller) -> Any:
        named = {} if start is None else {"orderId": api.new(start, "runner-7")}
        return api.post(path, body if isinstance(body, bytes) else {**(body or {}), **named}, **headers)

    return call


def get(path: str, **query: Any) -> Callable[[Caller], Any]:
    return lambda api: api.get(path, **query)


def details_of_a_new_order(api: Caller) -> Any:
    return api.get("/getOrderDetails", orderId=api.create(NEW))


def page_with_one_order(api: Caller) -> Any:
    customer = unique("customer")
    api.create({**NEW, "customer_id": customer})
    answer = api.get(f"/orders/customer/{customer}")
    answer.set_data(answer.data.replace(customer.encode(), b"customer-1"))
    return answer


def forgiven_clear(api: Caller) -> Any:
    order_id = api.new("ACCEPTED", "winner")
    api.accept(order_id, "loser")
    return api.clear(order_id)


def reused_key(api: Caller) -> Any:
    key = unique()
    api.post("/cancelOrder", {"orderId": "a"}, Idempotency_Key=key)
    return api.post("/cancelOrder", {"orderId": "b"}, Idempotency_Key=key)


RESPONSES: dict[str, Callable[[Caller], Any]] = {
    "health": get("/health"),
    "orders": page_with_one_order,
    "orders_empty": get("/orders", runnerId="nobody"),
    "orders_invalid_status": get("/orders", status="GONE"),
    "orders_invalid_page": get("/orders", page="0"),
    "orders_invalid_limit": get("/orders", limit="1001"),
    "getOrderDetails": details_of_a_new_order,
    "getOrderDetails_missing": get("/getOrderDetails"),
    "getOrderDetails_not_found": get("/getOrderDetails", orderId="unknown"),
    "createOrder": post("/createOrder", NEW),
    "createOrder_missing_fields": post("/createOrder", {"customer_id": "customer-1"}),
    "createOrder_invalid_field": post("/createOrder", create_body(foodItems=[{"price": -1, "quantity": 1}])),
    "createOrder_money_over_ceiling": post("/createOrder", create_body(deliveryFee=1000)),
    "testCreateOrder": post("/testCreateOrder", NEW),
    "updateOrderStatus": post("/updateOrderStatus", {"status": "PLACED"}, "ACCEPTED"),
    "updateOrderStatus_invalid_status": post("/updateOrderStatus", {"orderId": "a", "status": "GONE"}),
    "updateOrderStatus_final": post("/updateOrderStatus", {"status": "PLACED"}, "CANCELLED"),
    "verifyAndAcceptOrder": post("/verifyAndAcceptOrder", {"runner_id": "runner-7"}, "CREATED"),
    "verifyAndAcceptOrder_taken": post("/verifyAndAcceptOrder", {"runner_id": "runner-8"}, "ACCEPTED"),
    "verifyAndAcceptOrder_status": post("/verifyAndAcceptOrder", {"runner_id": "runner-8"}, "PENDING"),
    "verifyAndAcceptOrder_not_found": post("/verifyAndAcceptOrder", {"orderId": "a", "runner_id": "r"}),
    "cancelOrder": post("/cancelOrder", None, "CREATED"),
    "cancelOrder_status": post("/cancelOrder", None, "PLACED"),
    "cancelOrder_not_found": post("/cancelOrder", {"orderId": "a"}),
    "cancelAcceptance": post("/cancelAcceptance", None, "ACCEPTED"),
    "cancelAcceptance_status": post("/cancelAcceptance", None, "DELIVERED"),
    "clearRunner": post("/clearRunner", {"runner_id": "runner-7"}, "ACCEPTED"),
    "clearRunner_unchanged_by_a_refused_runner": forgiven_clear,
    "clearRunner_other_runner": post("/clearRunner", {"runner_id": "runner-8"}, "ACCEPTED"),
    "clearRunner_status": post("/clearRunner", None, "PLACED"),
    "completeOrder": post("/completeOrder", None, "DELIVERED"),
    "completeOrder_status": post("/completeOrder", None, "CANCELLED"),
    "no_data": post("/cancelOrder", b""),
    "malformed": post("/createOrder", b'{"customer_id": '),
    "too_deep": post("/cancelOrder", b"[" * 33),
    "duplicate_key": post("/cancelOrder", b'{"orderId": "a", "orderId": "b"}'),
    "number_out_of_range": post("/cancelOrder", b'{"orderId": NaN}'),
    "invalid_text": post("/cancelOrder", b'{"orderId": "\\u0000"}'),
    "invalid_body": post("/cancelOrder", b"[]"),
    "body_too_large": post("/cancelOrder", b" " * 131_073),
    "unsupported_media_type": post("/cancelOrder", b"x", Content_Type="text/plain"),
    "invalid_idempotency_key": post("/cancelOrder", {"orderId": "a"}, Idempotency_Key=""),
    "idempotency_key_reused": reused_key,
    "not_found": get("/unknown"),
    "method_not_allowed": get("/createOrder"),
}


# By the tests that bring these about.
ELSEWHERE = {"database_away", "database_busy", "idempotency_key_in_use", "unauthorized", "forbidden"}


def parsed(body: bytes) -> Any:
    """Read JSON and keep the digits of its fractions: 17.00 is not 17.0."""
    return json.loads(body, parse_float=lambda digits: f"<<{digits}>>")


def hold_answer(name: str, answer: Any) -> None:
    """Compare a response with its example."""
    assert answer.content_type == "application/json"
    hold_against(EXAMPLES / "http" / f"{name}.json", {"status": answer.status_code, "body": parsed(answer.data)})


def hold_against(path: Path, found: Any) -> None:
    """Compare with the file, members in order; with UPDATE_EXAMPLES write it."""
    text = json.dumps(found, indent=2, ensure_ascii=False) + "\n"
    text = re.sub('"<<([^>]*)>>"', r"\1", text)
    for pattern, placeholder in PLACEHOLDERS:
        text = re.sub(pattern, placeholder, text)
    if os.environ.get("UPDATE_EXAMPLES"):
        path.write_text(text)
    assert text == path.read_text()


@pytest.mark.parametrize("name", RESPONSES)
def test_a_response_is_exactly_its_example(api: Caller, name: str) -> None:
    """[H1] [H2] [H3] [H4] [H5] [H6] [H7] [H8] [H9] [H10] [H11] [H12] [H13] [H14] [O1] [O2] [O3] [O4] [O5]"""
    hold_answer(name, RESPONSES[name](api))


OF_THE_SERVER = {"date", "server", "connection"}  # each server has its own


def normalized(answer: Any) -> tuple[int, dict[str, str], str]:
    """Return status, headers and body without what no two answers share."""
    headers = {name.lower(): value for name, value in answer.headers.items() if name.lower() not in OF_THE_SERVER}
    body = answer.data.decode()
    for pattern, placeholder in PLACEHOLDERS:
        body = re.sub(pattern, placeholder, body)
    if body != answer.data.decode():
        del headers["content-length"]  # microseconds that are none have no digits
    assert re.fullmatch(UUID, headers.pop("x-correlation-id"))
    return answer.status_code, headers, body


@pytest.mark.parametrize("name", RESPONSES)
def test_the_loop_and_flask_answer_alike(api: Caller, loop_api: Caller, name: str) -> None:
    """[H1] Status, headers and body."""
    assert normalized(RESPONSES[name](loop_api)) == normalized(RESPONSES[name](api))


@pytest.mark.parametrize("event_type", ["ORDER_CREATED", *CHANGES, "ORDER_FORGOTTEN"])
def test_an_event_is_exactly_its_example(app: Flask, api: Caller, tables: Tables, event_type: str) -> None:
    """[K2] [K12] [K15]"""
    if event_type == "ORDER_CREATED":
        order_id = api.create(NEW)
    elif event_type == "ORDER_FORGOTTEN":
        order_id = api.new("COMPLETED", "runner-7", "customer-to-forget")
        person = Person(Role.CUSTOMER, "customer-to-forget", "forgotten-5f0c7b1e92d84a36")
        with forget_orders.database(app.extensions["settings"]) as pool:
            forget_orders.take_out(pool, person, "alice", OVER)
    else:
        start, change, *_ = CHANGES[event_type]
        order_id = api.new(start, "runner-7")
        change(api, order_id)
    record = parsed(bytes(tables.events(order_id)[-1]["payload"]))
    hold_against(EXAMPLES / "events" / f"{event_type}.json", record)


def test_every_example_is_produced() -> None:
    """[H1] [K12]"""
    assert {path.stem for path in (EXAMPLES / "http").iterdir()} == set(RESPONSES) | ELSEWHERE
    assert {path.stem for path in (EXAMPLES / "events").iterdir()} == {"ORDER_CREATED", "ORDER_FORGOTTEN", *CHANGES}
