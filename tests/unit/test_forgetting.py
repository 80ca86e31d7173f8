"""Orders and stored JSON without a person, and which records name somebody."""

import json
from dataclasses import asdict
from datetime import timedelta

import pytest

from app.models.forgetting import EVERY, OVER, Person, Role, forget
from app.models.order import OrderStatus
from app.wire.encoder import encode
from app.wire.forgetting import names, without
from tests.unit.builders import NOW, an_order

ANN = Person(Role.CUSTOMER, "ann", "forgotten-1")
RUNNER = Person(Role.RUNNER, "bob", "forgotten-2")
LATER = NOW + timedelta(hours=1)


def changed(person: Person) -> dict[str, object]:
    """Return what the forgetting changes in an order."""
    about = {"cust_id": "ann", "order_description": "[1]", "cancel_reason": "ann moved"}
    order = an_order("CANCELLED", "bob", **about)
    after = asdict(forget(order, person, LATER).order)
    return {name: value for name, value in after.items() if asdict(order)[name] != value}


def test_a_customer_goes_with_all_that_is_about_them() -> None:
    assert changed(ANN) == {
        "cust_id": "forgotten-1",
        "order_description": "[]",
        "delivery_location": "forgotten",
        "cancel_reason": None,
        "version": 8,
        "updated_at": LATER,
    }


def test_a_runner_is_an_id_alone() -> None:
    assert changed(RUNNER) == {"runner_id": "forgotten-2", "version": 8, "updated_at": LATER}


def test_orders_are_over_where_nobody_needs_to_know_any_more_where_they_go() -> None:
    assert {
        OrderStatus.PENDING,
        OrderStatus.CREATED,
        OrderStatus.ACCEPTED,
        OrderStatus.PLACED,
        OrderStatus.ON_THE_WAY,
    } == EVERY - OVER


def test_an_answer_keeps_every_byte_that_is_not_about_the_person() -> None:
    answer = encode({"message": "m", "order": an_order("CREATED", "bob", cust_id="ann").to_wire()})
    without_ann = without(answer, ANN)
    assert without(answer, Person(Role.CUSTOMER, "an", "x")) == answer
    order = json.loads(without_ann)["order"]
    assert (order["custId"], order["runnerId"], order["deliveryLocation"]) == ("forgotten-1", "bob", "forgotten")
    assert without_ann.replace(b"forgotten-1", b"ann").startswith(answer[: answer.index(b"orderDescription")])


def test_the_order_inside_an_event_is_reached() -> None:
    inner = encode(an_order("CREATED", cust_id="ann", order_description="[1]").to_wire()).decode()
    event = encode({"payload": {"customerId": "ann", "runnerId": None, "event": inner}})
    gone = json.loads(without(event, ANN))["payload"]
    assert gone["customerId"] == json.loads(gone["event"])["custId"] == "forgotten-1"
    assert json.loads(gone["event"])["orderDescription"] == "[]"


def test_a_reply_about_an_order_of_theirs_loses_its_reason() -> None:
    reply = encode({"payload": {"order_id": "o", "reason": "ann moved"}})
    assert without(reply, ANN) == reply
    assert json.loads(without(reply, ANN, of_theirs=True))["payload"]["reason"] == "forgotten"


@pytest.mark.parametrize(
    ("data", "named"),
    [
        (None, False),
        (b"", False),
        (b'{"a": {"b": ["ann"]}}', True),
        (b'{"ann": 1}', True),
        (b'{"a": "joanna", "b": "ann-2"}', False),
        (b'{"a": "\\u0061nn"}', True),
        (b"not JSON, but ann is in it", True),
        (b"not JSON, and joanna is in it", False),
        (b"[" * 40 + b'"ann"', True),
        (b"\xff ann \xff", True),
    ],
)
def test_a_record_names_a_person_by_a_whole_string_or_word(data: bytes | None, named: bool) -> None:
    assert names(data, "ann") is named
