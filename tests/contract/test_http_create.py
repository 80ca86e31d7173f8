"""Making an order: prices, fees, texts and what a new order looks like."""

import json
from typing import Any

import pytest

from tests.contract.conftest import Tables
from tests.harness.builders import Caller, create_body, unique

BOTH = pytest.mark.parametrize("path", ["/createOrder", "/testCreateOrder"])
FIELDS = [
    "orderId", "custId", "runnerId", "orderDescription", "foodFee", "deliveryFee", "storeLocation", "deliveryLocation",
    "orderStatus", "sagaId", "createdAt", "updatedAt", "acceptedAt", "placedAt", "pickedUpAt", "deliveredAt",
    "completedAt", "cancelledAt", "paymentStatus", "cancelReason", "version",
]  # fmt: skip


def item(**changes: Any) -> dict[str, Any]:
    return {"name": "Tea", "price": 1, "quantity": 1, **changes}


def created(api: Caller, **details: Any) -> dict[str, Any]:
    return api.order(api.create(create_body(**details)))


def refused(api: Caller, body: dict[str, Any], path: str = "/createOrder") -> dict[str, Any]:
    answer = api.post(path, body)
    assert answer.status_code == 400, answer.text
    assert answer.json["success"] is False
    return dict(answer.json)


@BOTH
def test_a_new_order_is_answered_with_201_and_its_id(api: Caller, path: str) -> None:
    """[H6] [H7]"""
    answer = api.post(path, create_body())
    assert answer.status_code == 201
    order_id = answer.json["order_id"]
    assert answer.json == {"success": True, "order_id": order_id, "message": "Order created successfully"}


def test_an_order_has_the_fields_of_the_contract_and_those_that_were_added(api: Caller) -> None:
    """[O5]"""
    order = created(api)
    assert list(order) == FIELDS
    assert (order["paymentStatus"], order["cancelReason"], order["version"]) == ("PENDING", None, 1)


def test_a_new_order_is_pending_without_runner_and_without_times(api: Caller) -> None:
    """[R1] [O3]"""
    order = created(api)
    assert (order["orderStatus"], order["runnerId"], order["sagaId"]) == ("PENDING", None, None)
    times = ("acceptedAt", "placedAt", "pickedUpAt", "deliveredAt", "completedAt", "cancelledAt")
    assert [order[name] for name in times] == [None] * 6


@pytest.mark.parametrize("left_out", [{}, {"deliveryFee": None, "storeLocation": None}, {"storeLocation": ""}])
def test_fee_and_store_may_be_left_out_or_null_or_empty(api: Caller, left_out: dict[str, Any]) -> None:
    """[R1] [R7]"""
    order = created(api, **left_out)
    assert (order["deliveryFee"], order["storeLocation"]) == (0, None)


def test_the_description_is_the_text_of_the_items_with_their_extra_keys(api: Caller) -> None:
    """[O1]"""
    items = [{"item_name": "Tacos ✓", "price": "3.50", "quantity": "2", "notes": {"spicy": [True, None]}}]
    order = created(api, foodItems=items)
    assert json.loads(order["orderDescription"]) == items


@BOTH
def test_the_test_endpoint_fixes_the_fee_whatever_is_sent(api: Caller, path: str) -> None:
    """[H7]"""
    order_id = api.create(create_body(deliveryFee=5), path)
    assert api.order(order_id)["deliveryFee"] == (5 if path == "/createOrder" else 3.99)


@pytest.mark.parametrize("fee", [-1, "much", [], {}, 1e9, True, ""])
def test_the_test_endpoint_does_not_look_at_a_fee(api: Caller, fee: Any) -> None:
    """[H7]"""
    assert api.post("/testCreateOrder", create_body(deliveryFee=fee)).status_code == 201


@pytest.mark.parametrize(
    ("items", "text"),
    [
        ([item(price=12.99)], '"foodFee":12.99,'),
        ([item(price=0.1, quantity=3)], '"foodFee":0.30,'),
        ([item(price="0.005")], '"foodFee":0.01,'),
        ([item(price="0.0049999")], '"foodFee":0.00,'),
        ([item(price="0.0025"), item(price="0.0025")], '"foodFee":0.01,'),
        ([item(price=999.994)], '"foodFee":999.99,'),
        ([item(price="1.5", quantity="10")], '"foodFee":15.00,'),
        ([item(price=0)], '"foodFee":0.00,'),
        ([item(price=0.0001, quantity=10_000)], '"foodFee":1.00,'),
        ([item(price=1, quantity=2.0)], '"foodFee":2.00,'),
    ],
)
def test_the_food_fee_is_the_exact_sum_rounded_half_up(api: Caller, items: list[Any], text: str) -> None:
    """[O2] [R6]: as a JSON number with the cents it has."""
    order_id = api.create(create_body(foodItems=items))
    assert text in api.get("/getOrderDetails", orderId=order_id).text


@pytest.mark.parametrize(
    "wrong",
    [
        {"price": -1}, {"price": -0.001}, {"price": "-1"}, {"price": "+1"}, {"price": "1e3"}, {"price": " 1"},
        {"price": "1_000"}, {"price": "1."}, {"price": ".5"}, {"price": "١"}, {"price": "NaN"}, {"price": "Infinity"},
        {"price": ""}, {"price": None}, {"price": True}, {"price": []}, {"price": {}}, {"price": 1e300},
        {"price": "9" * 5000}, {"quantity": 0}, {"quantity": -1}, {"quantity": 1.5}, {"quantity": "2.0"},
        {"quantity": "0"}, {"quantity": 10_001}, {"quantity": "10001"}, {"quantity": None}, {"quantity": False},
        {"quantity": "9" * 5000}, {"quantity": 10**30},
    ],
)  # fmt: skip
def test_an_item_without_usable_price_and_quantity_is_refused(api: Caller, wrong: dict[str, Any]) -> None:
    """[H6] [R6]"""
    failure = refused(api, create_body(foodItems=[item(), item(**wrong)]))
    assert failure["error"].startswith("order_details.foodItems") or "over" in failure["code"]
    assert len(failure["error"]) <= 200


@pytest.mark.parametrize("missing", ["price", "quantity"])
def test_an_item_that_lacks_a_number_is_refused(api: Caller, missing: str) -> None:
    """[H6]"""
    lacking = {name: value for name, value in item().items() if name != missing}
    assert missing in refused(api, create_body(foodItems=[lacking]))["error"]


@pytest.mark.parametrize("items", [[], {}, "tea", [1], [None], [[]], 1, None])
def test_there_must_be_a_list_of_at_least_one_item(api: Caller, items: Any) -> None:
    """[R6]"""
    assert "foodItems" in refused(api, create_body(foodItems=items))["error"]


@pytest.mark.parametrize(("fee", "shown"), [(999.99, 999.99), ("999.994", 999.99), (3.005, 3.01), (0, 0), ("3", 3)])
def test_the_delivery_fee_is_rounded_half_up_and_the_ceiling_counts_after_that(
    api: Caller, fee: Any, shown: float
) -> None:
    """[O2] [R6]"""
    assert created(api, deliveryFee=fee)["deliveryFee"] == shown


@pytest.mark.parametrize("fee", [999.995, "1000", -0.01, "-1", "", " ", True, [], {}, "1e1", 10**400])
def test_a_delivery_fee_over_the_ceiling_or_not_a_number_is_refused(api: Caller, fee: Any) -> None:
    """[H6] [O2]"""
    assert refused(api, create_body(deliveryFee=fee))["code"] in (
        "invalid_field",
        "money_over_ceiling",
        "number_out_of_range",
    )


def test_food_over_the_ceiling_is_refused_with_its_own_code(api: Caller) -> None:
    """[O2] [H6]"""
    assert refused(api, create_body(foodItems=[item(price="999.995")]))["code"] == "money_over_ceiling"
    assert refused(api, create_body(foodItems=[item(price=100, quantity=10)]))["code"] == "money_over_ceiling"


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ({"customer_id": "c"}, "Missing required fields: order_details"),
        ({"order_details": create_body()["order_details"]}, "Missing required fields: customer_id"),
        ({"customer_id": "", "order_details": None}, "Missing required fields: customer_id, order_details"),
        ({"customer_id": "c", "order_details": {}}, "Missing required fields: order_details"),
        (create_body(deliveryLocation=""), "Missing required fields: order_details.deliveryLocation"),
        (create_body(foodItems=[]), "Missing required fields: order_details.foodItems"),
    ],
)
@BOTH
def test_missing_and_empty_fields_are_named(api: Caller, path: str, body: dict[str, Any], sentence: str) -> None:
    """[H6] [H14]"""
    assert refused(api, body, path) == {"error": sentence, "code": "missing_fields", "success": False}


@pytest.mark.parametrize(
    "wrong",
    [
        {"customer_id": "x" * 256}, {"customer_id": 1}, {"customer_id": ["c"]}, {"order_details": "x"},
        {"order_details": ["x"]}, create_body(deliveryLocation="x" * 256), create_body(storeLocation="x" * 256),
        create_body(deliveryLocation=5), create_body(storeLocation=5), create_body(storeLocation=[]),
    ],
)  # fmt: skip
@BOTH
def test_fields_of_the_wrong_type_or_length_are_refused(api: Caller, path: str, wrong: dict[str, Any]) -> None:
    """[H6] [R6]"""
    assert refused(api, {**create_body(), **wrong}, path)["code"] == "invalid_field"


def test_texts_may_be_as_long_as_the_contract_says(api: Caller) -> None:
    """[R6]"""
    customer, place = "ü" * 255, "🏠" * 255
    order = api.order(api.create(create_body(customer, deliveryLocation=place, storeLocation=place)))
    assert (order["custId"], order["deliveryLocation"], order["storeLocation"]) == (customer, place, place)


def test_unknown_extra_fields_are_ignored_everywhere(api: Caller) -> None:
    """[R7]"""
    body = create_body(coupon=None, orderStatus="COMPLETED", version=7) | {"saga_id": "s", "paymentStatus": "CAPTURED"}
    order = api.order(api.create(body))
    assert (order["orderStatus"], order["sagaId"], order["paymentStatus"], order["version"]) == (
        "PENDING", None, "PENDING", 1,
    )  # fmt: skip


def test_money_is_exact_decimal_in_the_table(api: Caller, tables: Tables) -> None:
    """[O2]"""
    order_id = api.create(create_body(foodItems=[item(price=0.1, quantity=3)], deliveryFee=0.1))
    (row,) = tables.rows("SELECT food_fee::text, delivery_fee::text FROM orders WHERE order_id = %s", order_id)
    assert row == {"food_fee": "0.30", "delivery_fee": "0.10"}


def test_a_refused_create_leaves_nothing_behind(api: Caller, tables: Tables) -> None:
    """[H6]"""
    customer = unique("customer")
    refused(api, create_body(customer, deliveryFee=-1))
    assert tables.rows("SELECT 1 FROM orders WHERE cust_id = %s", customer) == []
