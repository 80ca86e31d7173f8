"""Every example of the OpenAPI document is what the service takes and answers."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from uuid import uuid4

import pytest
from flask import Flask

from app import create_app
from app.config.config import Settings
from app.models.errors import DatabaseAway, DatabaseBusy, KeyInUse, OutcomeUnknown
from app.services.order_service import OrderService
from app.wire import bodies
from app.wire.encoder import encode
from tests.documents.validation import problems
from tests.harness.builders import Caller, create_body
from tools.documents import openapi
from tools.documents.calls import POSTS
from tools.documents.examples import RUNNER

DOCUMENT: Mapping[str, Any] = json.loads(encode(openapi.document()))
OPERATIONS = {operation["operationId"]: operation for path in DOCUMENT["paths"].values() for operation in path.values()}


@pytest.fixture
def api(documented_app: Flask) -> Caller:
    return Caller(documented_app.test_client())


def documented(call: str, status: int) -> dict[str, Any]:
    """The examples of an answer by name."""
    answer = OPERATIONS[call]["responses"][str(status)]
    return {name: example["value"] for name, example in answer["content"]["application/json"]["examples"].items()}


def first_example(call: str, **named: str) -> bytes:
    """The first body that the document shows for a call, with these fields in it."""
    return encode({**next(iter(POSTS[call].sent.values())), **named})


UNREADABLE_BODIES = (
    b"",
    b"[]",
    b'{"customer_id": ',
    b"[" * 33,
    b'{"orderId": "a", "orderId": "b"}',
    b'{"orderId": NaN}',
    b'{"orderId": "\\u0000"}',
)
CREATES = ({"customer_id": "customer-1"}, create_body(foodItems=[{"price": -1, "quantity": 1}]))
CHANGES = {call: ({"orderId": ""}, first_example(call, orderId="x" * 256)) for call in POSTS}
UNUSABLE_BODIES: Mapping[str, Sequence[object]] = {
    **CHANGES,
    "createOrder": (*CREATES, create_body(deliveryFee=1000)),
    "testCreateOrder": (*CREATES, create_body(foodItems=[{"price": 1000, "quantity": 1}])),
    "updateOrderStatus": (*CHANGES["updateOrderStatus"], {"orderId": "a", "status": "GONE"}),
}
AGAINST_THE_RULES: Mapping[str, Sequence[tuple[str, Mapping[str, str]]]] = {
    "updateOrderStatus": [("CANCELLED", {"status": "PLACED"})],
    "verifyAndAcceptOrder": [("ACCEPTED", {"runner_id": "runner-8"}), ("PENDING", {"runner_id": "runner-8"})],
    "cancelOrder": [("PLACED", {})],
    "cancelAcceptance": [("DELIVERED", {})],
    "clearRunner": [("ACCEPTED", {"runner_id": "runner-8"}), ("PLACED", {})],
    "completeOrder": [("CANCELLED", {})],
}
"""By call, the status of an order that does not allow it, and the rest of the body."""


def refusals_of(api: Caller, call: str) -> Iterator[Any]:
    """Everything that the document says is refused with a 400, refused."""
    for body in (*UNREADABLE_BODIES, *UNUSABLE_BODIES[call]):
        yield api.post(f"/{call}", body)
    for status, rest in AGAINST_THE_RULES.get(call, ()):
        yield api.post(f"/{call}", {"orderId": api.new(status, RUNNER), **rest})
    yield api.post(f"/{call}", create_body(), Idempotency_Key="é")


@pytest.mark.parametrize("call", POSTS)
def test_every_refusal_of_a_post_is_documented_with_its_code_and_sentence(api: Caller, call: str) -> None:
    """[H1] [H6] to [H14]"""
    answers = list(refusals_of(api, call))
    assert {answer.status_code for answer in answers} == {400}
    assert {answer.get_json()["code"]: answer.get_json() for answer in answers} == documented(call, 400)


@pytest.mark.parametrize("call", AGAINST_THE_RULES)
def test_an_unknown_order_is_documented(api: Caller, call: str) -> None:
    """[H14]"""
    answer = api.post(f"/{call}", first_example(call, orderId="unknown"))
    assert documented(call, 404) == {"order_not_found": answer.json}


@pytest.mark.parametrize("call", POSTS)
def test_what_is_refused_before_the_body_is_read_is_documented(api: Caller, call: str) -> None:
    """[H1] [H15]"""
    key = str(uuid4())
    api.post(f"/{call}", first_example(call), Idempotency_Key=key)
    answers = (
        api.post(f"/{call}", b" " * 131_073),
        api.post(f"/{call}", create_body(), Content_Type="text/plain"),
        api.post(f"/{call}", create_body(), Idempotency_Key=key),
    )
    for answer in answers:
        assert documented(call, answer.status_code) == {answer.json["code"]: answer.json}


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (409, KeyInUse()),
        (500, ZeroDivisionError()),
        (503, DatabaseBusy("The database is busy")),
        (503, OutcomeUnknown("The database connection was lost; whether the change was made is not known")),
        (503, DatabaseAway("The database is away")),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
@pytest.mark.parametrize("call", POSTS)
def test_trouble_is_documented(
    api: Caller, monkeypatch: pytest.MonkeyPatch, call: str, status: int, error: Exception
) -> None:
    """[H1]"""

    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(OrderService, "execute", fail)
    answer = api.post(f"/{call}", first_example(call))
    assert answer.status_code == status
    assert documented(call, status)[answer.json["code"]] == answer.json


def test_the_database_is_away_in_the_documents_words() -> None:
    """[H1]"""
    app = create_app(Settings.load({"DATABASE_URL": "postgresql://nobody@127.0.0.1:1/nothing"}))
    api = Caller(app.test_client())
    api.get("/orders")  # the first one finds it out
    assert api.get("/orders").json == documented("listOrders", 503)["database_away"]


QUERIES: Mapping[str, tuple[str, ...]] = {
    "listOrders": ("/orders?page=0", "/orders?limit=1001", "/orders?status=GONE", "/orders?runnerId=%00"),
    "listCustomerOrders": ("/orders/customer/c?page=x", "/orders/customer/c?limit=1001", "/orders/customer/%00"),
    "getOrderDetails": ("/getOrderDetails", "/getOrderDetails?orderId=%00"),
}


@pytest.mark.parametrize("call", QUERIES)
def test_every_refusal_of_a_get_is_documented(documented_app: Flask, call: str) -> None:
    """[H3] [H4] [H5]"""
    answers = [documented_app.test_client().get(query) for query in QUERIES[call]]
    assert {answer.get_json()["code"]: answer.get_json() for answer in answers} == documented(call, 400)


SUCCESSES = {form.path.removeprefix("/"): form.status for _, _, form in bodies.CHANGES}


@pytest.mark.parametrize("call", POSTS)
def test_the_documented_success_is_the_answer(api: Caller, call: str) -> None:
    """[H6] to [H13]"""
    order_id = api.new("ACCEPTED" if call in ("cancelAcceptance", "clearRunner") else "CREATED", RUNNER)
    for body in POSTS[call].sent.values():
        answer = api.post(f"/{call}", encode({**body, "orderId": order_id}))
        assert answer.status_code == SUCCESSES[call]
        example = next(iter(documented(call, SUCCESSES[call]).values()))
        assert answer.json["message"] == example["message"]
        assert answer.json.keys() == example.keys()


@pytest.mark.parametrize("call", OPERATIONS)
def test_every_example_has_the_documented_shape(call: str) -> None:
    operation = OPERATIONS[call]
    contents = [answer["content"]["application/json"] for answer in operation["responses"].values()]
    contents += [operation["requestBody"]["content"]["application/json"]] if "requestBody" in operation else []
    for content in contents:
        assert content["examples"]
        for example in content["examples"].values():
            assert problems(DOCUMENT, content["schema"], example["value"]) == []
    for parameter in operation["parameters"]:
        assert ("example" in parameter) == (parameter["in"] != "header")
        assert problems(DOCUMENT, parameter["schema"], parameter.get("example", "a")) == []
