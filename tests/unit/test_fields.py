"""Prices, quantities, ids, places: what is taken, what is refused, and with which sentence [R6, R7, H6]."""

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic_core import PydanticCustomError

from app.models.errors import Refused
from app.wire.decoder import decode
from app.wire.fields import FoodItems, Id, Input, OrderDetails, Payment, Status, amount, cents, parse_body, quantity
from tests.unit.builders import BOUNDED, an_item, some_details


class Names(Input):
    """The fields that the orders' own models are made of."""

    order_id: Id
    status: Status | None = None
    payment_status: Payment | None = None


def details(**other: Any) -> OrderDetails:
    return parse_body(OrderDetails, decode(json.dumps(some_details(**other)).encode()))


def refusal(**other: Any) -> tuple[str, str]:
    with pytest.raises(Refused) as refused:
        details(**other)
    return refused.value.code, str(refused.value)


def fee(raw: str) -> Decimal:
    """The delivery fee that the JSON text `raw` means."""
    body = json.dumps(some_details(deliveryFee="HERE")).replace('"HERE"', raw)
    return parse_body(OrderDetails, decode(body.encode())).deliveryFee


@pytest.mark.parametrize(
    ("sent", "taken"),
    [
        ("3.99", "3.99"),
        ('"3.99"', "3.99"),
        ("3", "3.00"),
        ('"3"', "3.00"),
        ("0", "0.00"),
        ('"0"', "0.00"),
        ("0.005", "0.01"),
        ("0.004999", "0.00"),
        ("1.005", "1.01"),  # as a binary float this is 1.00
        ("2.675", "2.68"),
        ("0.125", "0.13"),  # half to even would be 0.12
        ('"007.10"', "7.10"),
        ("1e2", "100.00"),
        ("1E-2", "0.01"),
        ("1e-300", "0.00"),
        ("999.99", "999.99"),
        ("999.994", "999.99"),
        ('"999.994999999999999999999999999999999999"', "999.99"),
    ],
)
def test_a_fee_is_rounded_half_up_to_cents(sent: str, taken: str) -> None:
    """[R6] [O2]"""
    assert str(fee(sent)) == taken


@pytest.mark.parametrize("sent", ["-0", "-0.0", "0e5", "-0.00"])
def test_a_zero_of_any_kind_is_a_plain_zero(sent: str) -> None:
    assert str(fee(sent)) == "0.00"


@pytest.mark.parametrize("sent", ["999.995", '"999.995"', "1000", "1e3", "1e300", "9" * 300, f'"{"9" * 5000}"'])
def test_a_fee_over_the_ceiling_is_refused_after_rounding(sent: str) -> None:
    """[R6] [O2]"""
    with pytest.raises(Refused, match=r"^deliveryFee must be at most 999\.99 dollars$") as refused:
        fee(sent)
    assert refused.value.code == "money_over_ceiling"


@pytest.mark.parametrize(
    "sent",
    [
        *("-0.01", "-1", '"-1"', '"-0"', '"+1"', '"1e2"', '"1 "', '" 1"', '"1_0"', '"1,5"', '".5"', '"1."', '""'),
        *('"٣"', '"¹"', '"1\\n"', '"NaN"', '"Infinity"', '"0x1"', "true", "false", "[]", "{}", "[1]", '"free"'),
    ],
)
def test_a_fee_that_is_no_plain_amount_is_refused(sent: str) -> None:
    """[R6]"""
    with pytest.raises(Refused, match=r"^deliveryFee must be a number of dollars that is not negative$") as it:
        fee(sent)
    assert it.value.code == "invalid_field"


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1.5, None, b"1", "٣.٣", True])
def test_an_amount_is_never_a_binary_float(value: Any) -> None:
    """[O2]"""
    with pytest.raises(PydanticCustomError):
        amount(value)


@BOUNDED
@given(st.decimals(min_value=0, max_value=999, allow_nan=False, allow_infinity=False, places=6))
def test_rounding_is_half_up_for_every_amount(value: Decimal) -> None:
    thousandths = int(value * 1_000_000)
    assert cents(value) == Decimal((thousandths + 5_000) // 10_000) / 100


@pytest.mark.parametrize(
    ("sent", "taken"),
    [("1", 1), ("10000", 10_000), ("2.0", 2), ("1e4", 10_000), ("1.000e1", 10), ('"2"', 2), ('"0002"', 2)],
)
def test_a_quantity_is_a_whole_number(sent: str, taken: int) -> None:
    """[R6]"""
    assert quantity(decode(sent.encode())) == taken


@pytest.mark.parametrize(
    "sent",
    [
        *("0", "-1", "10001", "10000.5", "1.5", "0.5", "1000000000", "1e300", "9" * 300, "true", "false", "null"),
        *('"2.0"', '"0"', '"10001"', '"-1"', '"+1"', '"1e1"', '" 2"', '"٢"', '""', "[]", "{}", '"' + "9" * 5000 + '"'),
    ],
)
def test_a_quantity_that_is_none_is_refused_with_a_sentence(sent: str) -> None:
    """[R6] [H6]"""
    with pytest.raises(PydanticCustomError, match="must be a whole number from 1 to 10000"):
        quantity(decode(sent.encode()))


def test_the_food_fee_is_the_exact_sum_rounded_once() -> None:
    """[O2] Three times 0.005 is 0.015, and 0.02: not three times 0.01."""
    items = [an_item(price="0.005", quantity=1) for _ in range(3)]
    assert details(foodItems=items).foodItems.fee == Decimal("0.02")


def test_the_food_fee_multiplies_by_the_quantity() -> None:
    items = [an_item(price=8.5, quantity=2), an_item(price="1.25", quantity="3")]
    assert details(foodItems=items).foodItems.fee == Decimal("20.75")


def test_a_sum_keeps_every_digit_until_it_is_rounded() -> None:
    """[O2] The default context of 28 digits would lose the last one, and the half with it."""
    tiny = "0." + "0" * 40 + "1"
    items = [an_item(price="0.005", quantity=1), an_item(price="999.98" + "9" * 40, quantity=1)]
    assert details(foodItems=[an_item(price="0.00499", quantity=1)]).foodItems.fee == 0
    assert details(foodItems=items).foodItems.fee == Decimal("999.99")
    assert "foodItems" in refusal(foodItems=[an_item(price="999.995", quantity=1), an_item(price=tiny, quantity=1)])[1]


@pytest.mark.parametrize(("price", "count"), [(0.1, 10_000), ("999.995", 1), (1, 1000), (1e300, 10_000)])
def test_a_food_fee_over_the_ceiling_is_refused(price: Any, count: int) -> None:
    """[H6]"""
    code, sentence = refusal(foodItems=[an_item(price=price, quantity=count)])
    assert (code, sentence) == ("money_over_ceiling", "foodItems must be at most 999.99 dollars")


def test_the_ceiling_of_the_food_is_for_the_sum() -> None:
    assert details(foodItems=[an_item(price="0.099999", quantity=10_000)]).foodItems.fee == Decimal("999.99")


@pytest.mark.parametrize(
    ("items", "sentence"),
    [
        ([an_item(), an_item(price=None)], "foodItems[1].price must be a number of dollars that is not negative"),
        ([{"quantity": 1}], "foodItems[0].price must be a number of dollars that is not negative"),
        ([{"price": 1}], "foodItems[0].quantity must be a whole number from 1 to 10000"),
        ([an_item(price="-1")], "foodItems[0].price must be a number of dollars that is not negative"),
        ([7], "foodItems[0] must be an object"),
        ([None], "foodItems[0] must be an object"),
        ("Burrito", "foodItems must be a list of items"),
        ({"price": 1}, "foodItems must be a list of items"),
        (5, "foodItems must be a list of items"),
    ],
)
def test_an_unusable_item_is_named(items: Any, sentence: str) -> None:
    """[H6]"""
    assert refusal(foodItems=items) == ("invalid_field", sentence)


@pytest.mark.parametrize("items", [[], None, "", {}])
def test_an_order_has_at_least_one_item(items: Any) -> None:
    """[R6]"""
    assert refusal(foodItems=items) == ("missing_fields", "Missing required fields: foodItems")


def test_the_description_keeps_extra_keys_and_digits_as_they_were_sent() -> None:
    """[O1] [R7]"""
    sent = b'[{"item_name":"Caf\xc3\xa9","price":8.50,"quantity":2.0,"extra":{"big":12345678901234567890,"x":[null]}}]'
    assert FoodItems(decode(sent)).description == sent.decode()


@pytest.mark.parametrize("number", ["0.10", "100000000000000000000000000000000", "1.000000000000000000001", "12", "0"])
def test_the_description_has_every_digit_of_a_number(number: str) -> None:
    """[O1]"""
    items = FoodItems(decode(f'[{{"price":1,"quantity":1,"extra":{number}}}]'.encode()))
    assert f'"extra":{number}' in items.description


@pytest.mark.parametrize("length", [1, 255])
@pytest.mark.parametrize("character", ["x", "é", "😀"])
def test_an_id_has_up_to_255_characters(length: int, character: str) -> None:
    """[R6] Characters, not bytes."""
    assert parse_body(Names, {"order_id": character * length}).order_id == character * length


@pytest.mark.parametrize("value", ["x" * 256, 7, True, ["x"], {"x": 1}, Decimal("1.5")])
def test_an_id_that_is_none_is_refused(value: Any) -> None:
    """[R6]"""
    with pytest.raises(Refused, match=r"^order_id must be a text of 1 to 255 characters$"):
        parse_body(Names, {"order_id": value})


@pytest.mark.parametrize("fields", [{}, {"order_id": None}, {"order_id": ""}, {"order_id": []}, {"order_id": {}}])
def test_an_empty_required_field_is_missing(fields: dict[str, Any]) -> None:
    """[R7] [H6] [H14]"""
    with pytest.raises(Refused, match=r"^Missing required fields: order_id$") as refused:
        parse_body(Names, fields)
    assert refused.value.code == "missing_fields"


def test_everything_that_is_missing_is_named_at_once() -> None:
    """[H14]"""
    with pytest.raises(Refused, match=r"^Missing required fields: foodItems, deliveryLocation$"):
        parse_body(OrderDetails, {"deliveryFee": "wrong"})


@pytest.mark.parametrize("empty", [None, ""])
def test_an_empty_store_location_is_left_out(empty: str | None) -> None:
    """[R7] [R1]"""
    assert details(storeLocation=empty).storeLocation is None


def test_fields_that_are_left_out_have_their_defaults() -> None:
    """[R1]"""
    order = details(deliveryFee=None).create("customer-1")
    assert (order.delivery_fee, order.store_location, order.saga_id, order.announce) == (Decimal(0), None, None, True)


@pytest.mark.parametrize("field", ["storeLocation", "deliveryLocation"])
def test_a_location_has_up_to_255_characters(field: str) -> None:
    """[R6]"""
    assert getattr(details(**{field: "é" * 255}), field) == "é" * 255
    assert refusal(**{field: "x" * 256}) == ("invalid_field", f"{field} must be a text of 1 to 255 characters")
    assert refusal(**{field: 5})[1] == f"{field} must be a text of 1 to 255 characters"


def test_unknown_fields_are_ignored() -> None:
    """[R7]"""
    assert details(unknown={"a": [1]}).deliveryLocation == "Dorm 5"


@pytest.mark.parametrize("fields", [[], "text", 5, True, None])
def test_what_is_no_object_is_refused(fields: Any) -> None:
    with pytest.raises(Refused, match=r"^The data must be an object$"):
        parse_body(Names, fields)


@pytest.mark.parametrize("status", ["placed", "UNKNOWN", "Placed", "PLACED ", "{braces}"])
def test_an_unknown_status_is_named(status: str) -> None:
    """[H8] [H14] Exact enum names only."""
    with pytest.raises(Refused) as refused:
        parse_body(Names, {"order_id": "o", "status": status})
    assert (refused.value.code, str(refused.value)) == ("invalid_status", f"Invalid status: {status}")


@pytest.mark.parametrize(("status", "shown"), [(5, "5"), (True, "true"), (["PLACED"], '["PLACED"]'), ({}, "{}")])
def test_a_status_that_is_no_text_is_shown_as_json(status: Any, shown: str) -> None:
    with pytest.raises(Refused) as refused:
        parse_body(Names, {"order_id": "o", "status": status})
    assert str(refused.value) == f"Invalid status: {shown}"


def test_an_unknown_payment_status_is_named() -> None:
    """[K5]"""
    with pytest.raises(Refused) as refused:
        parse_body(Names, {"order_id": "o", "payment_status": "paid"})
    assert (refused.value.code, str(refused.value)) == ("invalid_payment_status", "Invalid payment status: paid")
