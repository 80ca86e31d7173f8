"""Every fate that the bytes of a record can have: a command, a refusal with a reply, a dead letter [K2, K10]."""

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.models.commands import CompensateOrder, CreateOrder, UpdateStatus
from app.models.order import OrderStatus, PaymentStatus
from app.models.records import ReceivedCommand
from app.models.rules import Refusal
from app.wire.command_reader import DeadLetter, parse_record
from app.wire.command_types import DEFAULT_REASON
from app.wire.decoder import MAX_BYTES
from tests.unit.builders import BOUNDED, PAYLOADS, a_command, some_details

TYPES = list(PAYLOADS)


def received(value: bytes) -> ReceivedCommand:
    found = parse_record(value)
    assert isinstance(found, ReceivedCommand), found
    return found


def refused(value: bytes) -> Refusal:
    command = received(value).command
    assert isinstance(command, Refusal), command
    return command


def letter(value: bytes | None) -> str:
    found = parse_record(value)
    assert isinstance(found, DeadLetter), found
    return found.error


def padded(size: int) -> bytes:
    """A command of exactly `size` bytes."""
    empty = len(a_command(padding=""))
    return a_command(padding="x" * (size - empty))


def test_a_create_is_read() -> None:
    """[K4]"""
    found = received(a_command("create_order"))
    assert (found.type, found.correlation_id, found.saga_id, found.order_id) == (
        "create_order",
        "corr-1",
        "saga-1",
        None,
    )
    assert found.command == CreateOrder(
        customer_id="customer-1",
        order_description='[{"name":"Burrito","price":8.5,"quantity":2}]',
        food_fee=Decimal("17.00"),
        delivery_fee=Decimal("0.00"),
        store_location=None,
        delivery_location="Dorm 5",
        saga_id="saga-1",
        announce=True,
    )


@pytest.mark.parametrize(("sent", "payment"), [({}, None), ({"payment_status": "CAPTURED"}, PaymentStatus.CAPTURED)])
def test_an_update_is_read(sent: dict[str, str], payment: PaymentStatus | None) -> None:
    """[K5]"""
    payload = {"order_id": "order-1", "status": "PLACED"} | sent
    found = received(a_command("update_order_status", payload=payload))
    expected = UpdateStatus(order_id="order-1", status=OrderStatus.PLACED, payment_status=payment)
    assert (found.command, found.order_id) == (expected, "order-1")


@pytest.mark.parametrize(
    ("sent", "reason"), [({}, DEFAULT_REASON), ({"reason": None}, DEFAULT_REASON), ({"reason": "late"}, "late")]
)
def test_a_cancel_is_read_with_its_reason(sent: dict[str, Any], reason: str) -> None:
    """[K6]"""
    found = received(a_command("cancel_order", payload={"order_id": "order-1"} | sent))
    assert found.command == CompensateOrder(order_id="order-1", reason=reason)
    assert DEFAULT_REASON == "Cancellation requested"


@pytest.mark.parametrize(
    ("envelope", "payload", "found"),
    [
        ("env", "pay", "env"),
        (None, "pay", "pay"),
        (..., "pay", "pay"),
        ("", "pay", "pay"),
        (5, "pay", "pay"),
        ("x" * 256, "pay", "pay"),
        ("a\0b", "pay", "pay"),
        ("a\ud800", "pay", "pay"),
        (["env"], "pay", "pay"),
        ("x" * 255, "pay", "x" * 255),
        ("é" * 255, "pay", "é" * 255),
    ],
)
@pytest.mark.parametrize("command_type", TYPES)
def test_the_correlation_id_is_the_envelopes_else_the_payloads(
    command_type: str, envelope: Any, payload: str, found: str
) -> None:
    """[K2]"""
    named = PAYLOADS[command_type] | {"correlation_id": payload}
    assert received(a_command(command_type, correlation_id=envelope, payload=named)).correlation_id == found


@pytest.mark.parametrize("unusable", [None, "", 7, "x" * 256, "\0"])
def test_a_create_without_a_usable_correlation_id_has_its_saga_id(unusable: Any) -> None:
    """[K2]"""
    payload = PAYLOADS["create_order"] | {"correlation_id": unusable}
    assert received(a_command("create_order", correlation_id=unusable, payload=payload)).correlation_id == "saga-1"


@pytest.mark.parametrize("command_type", ["update_order_status", "cancel_order"])
def test_only_a_create_is_known_by_its_saga_id(command_type: str) -> None:
    """[K2] [K10]"""
    value = a_command(command_type, correlation_id=None, payload=PAYLOADS[command_type] | {"saga_id": "saga-1"})
    assert letter(value) == "The command has no usable correlation_id"


@pytest.mark.parametrize(
    "value",
    [
        *(b"", b"nonsense", b"[]", b"5", b"null", b'"text"', b"\xff\xfe", b"{", b"NaN"),
        *(a_command("unknown"), a_command(type=...), a_command(type=None), a_command(type=5), a_command(type=[])),
        *(a_command("Cancel_Order"), a_command(type={"a": 1}), a_command(type="")),
        a_command(correlation_id=...),
        a_command("create_order", correlation_id=None, payload=None),
        a_command("create_order", correlation_id="", payload=[{"saga_id": "saga-1"}]),
        a_command("create_order", correlation_id=None, payload={"saga_id": "x" * 256}),
    ],
)
def test_what_cannot_be_answered_is_a_dead_letter(value: bytes) -> None:
    """[K10]"""
    assert letter(value)


def test_a_tombstone_is_a_dead_letter() -> None:
    """[K10]"""
    assert letter(None) == "The record is a tombstone"


def test_128_kib_are_read_and_one_byte_more_is_not() -> None:
    """[K10] [R6] Although it has a type and a correlation id."""
    assert MAX_BYTES == 131_072
    assert isinstance(received(padded(MAX_BYTES)).command, CompensateOrder)
    assert letter(padded(MAX_BYTES + 1)) == "The command is larger than 131072 bytes"


def test_more_than_32_levels_are_a_dead_letter_whatever_they_hold() -> None:
    """[K10] The envelope and its payload are two of them."""
    fine, deep = (a_command(extra=json.loads("[" * levels + "]" * levels)) for levels in (31, 32))
    assert isinstance(received(fine).command, CompensateOrder)
    assert letter(deep) == "The command is nested deeper than 32 levels"


@pytest.mark.parametrize(
    ("inside", "code"),
    [
        (b'"order_id":"order-1","order_id":"order-1"', "duplicate_key"),
        (b'"order_id":"order-1","extra":NaN', "number_out_of_range"),
        (b'"order_id":"order-1","extra":-Infinity', "number_out_of_range"),
        (b'"order_id":"order-1","extra":1e999', "number_out_of_range"),
        (b'"order_id":"order-1","extra":' + b"9" * 5000, "number_out_of_range"),
        (b'"order_id":"order-1","reason":"\\u0000"', "invalid_text"),
        (b'"order_id":"order-1","reason":"\\ud800"', "invalid_text"),
    ],
)
def test_what_only_a_lenient_reader_can_read_is_refused_with_a_reply(inside: bytes, code: str) -> None:
    """[K10] [K7]"""
    value = b'{"type":"cancel_order","correlation_id":"corr-1","payload":{' + inside + b"}}"
    assert refused(value).code == code
    assert (received(value).correlation_id, received(value).order_id) == ("corr-1", "order-1")


@pytest.mark.parametrize("command_type", TYPES)
@pytest.mark.parametrize("payload", ["text", 5, [], ["order_id"], True])
def test_a_payload_that_is_no_object_is_refused_with_a_reply(command_type: str, payload: Any) -> None:
    """[K7] [K10]"""
    refusal = refused(a_command(command_type, payload=payload))
    assert (refusal.code, refusal.message) == ("invalid_field", "payload must be an object")


@pytest.mark.parametrize("payload", [None, ..., {}])
def test_a_missing_payload_misses_its_fields(payload: Any) -> None:
    """[K7]"""
    refusal = refused(a_command("update_order_status", payload=payload))
    assert refusal == Refusal("missing_fields", "Missing required fields: order_id, status")


FIELDS = [(kind, name) for kind, payload in PAYLOADS.items() for name in payload if name != "reason"]


@pytest.mark.parametrize(("command_type", "field"), FIELDS)
def test_a_missing_field_is_refused_with_a_reply(command_type: str, field: str) -> None:
    """[K7] Also `saga_id`."""
    payload = {name: value for name, value in PAYLOADS[command_type].items() if name != field}
    refusal = refused(a_command(command_type, payload=payload))
    assert refusal == Refusal("missing_fields", f"Missing required fields: {field}")


@pytest.mark.parametrize(
    ("command_type", "sent", "code", "message"),
    [
        ("update_order_status", {"status": "GONE"}, "invalid_status", "Invalid status: GONE"),
        ("update_order_status", {"payment_status": "X"}, "invalid_payment_status", "Invalid payment status: X"),
        ("update_order_status", {"order_id": 5}, "invalid_field", "order_id must be a text of 1 to 255 characters"),
        ("cancel_order", {"reason": 5}, "invalid_field", "reason must be a text"),
        ("cancel_order", {"reason": ["late"]}, "invalid_field", "reason must be a text"),
        ("create_order", {"saga_id": 5}, "invalid_field", "saga_id must be a text of 1 to 255 characters"),
        ("create_order", {"order_details": 5}, "invalid_field", "order_details must be an object"),
        (
            "create_order",
            {"order_details": some_details(foodItems=[{"price": 1}])},
            "invalid_field",
            "order_details.foodItems[0].quantity must be a whole number from 1 to 10000",
        ),
        (
            "create_order",
            {"order_details": some_details(deliveryFee=1000)},
            "money_over_ceiling",
            "order_details.deliveryFee must be at most 999.99 dollars",
        ),
    ],
)
def test_a_wrong_field_is_refused_with_a_sentence(command_type: str, sent: Any, code: str, message: str) -> None:
    """[K7] [R6]"""
    assert refused(a_command(command_type, payload=PAYLOADS[command_type] | sent)) == Refusal(code, message)


@pytest.mark.parametrize("order_id", ["", 5, None, "x" * 256, "a\0", "\ud800", ["order-1"]])
def test_an_unusable_order_id_is_not_named(order_id: Any) -> None:
    """[K7]"""
    found = received(a_command("cancel_order", payload={"order_id": order_id}))
    assert (found.order_id, type(found.command)) == (None, Refusal)


def test_unknown_fields_and_a_byte_order_mark_are_ignored() -> None:
    """[R7]"""
    plain = received(a_command())
    assert received(b"\xef\xbb\xbf" + a_command(source="saga", timestamp="2026-01-01T00:00:00")) == plain


@BOUNDED
@given(st.binary(max_size=100))
def test_random_bytes_have_one_of_the_two_fates(value: bytes) -> None:
    """[K10]"""
    assert isinstance(parse_record(value), ReceivedCommand | DeadLetter)


@BOUNDED
@given(st.data())
def test_a_command_with_a_few_bytes_changed_has_one_of_the_two_fates(data: st.DataObject) -> None:
    """[K10]"""
    value = bytearray(a_command(data.draw(st.sampled_from(TYPES))))
    for _ in range(data.draw(st.integers(1, 4))):
        value[data.draw(st.integers(0, len(value) - 1))] = data.draw(st.integers(0, 255))
    assert isinstance(parse_record(bytes(value)), ReceivedCommand | DeadLetter)
