"""Every example of the OpenAPI document is what the service takes and answers."""

import json
from collections.abc import Iterator, Mapping
from typing import Any
from uuid import uuid4

import pytest
from flask import Flask
from flask.testing import FlaskClient

from app import create_app
from app.config.config import Settings
from app.database.answers import KeyInUse
from app.models.commands import AcceptOrder, ClearRunner, OrderCommand, UpdateStatus
from app.models.errors import DatabaseAway, DatabaseBusy, OutcomeUnknown
from app.models.order import OrderState
from app.services.order_service import OrderService
from app.utils.encoder import encode
from tests.documents.validation import problems
from tools.documents import examples, openapi
from tools.documents.calls import POSTS
from tools.documents.refusals import AGAINST_THE_RULES, UNREADABLE_BODIES, UNUSABLE_BODIES

DOCUMENT: Mapping[str, Any] = json.loads(encode(openapi.document()))
OPERATIONS = {operation["operationId"]: operation for path in DOCUMENT["paths"].values() for operation in path.values()}
ITEM = {"price": 1, "quantity": 1}
CREATE = {"customer_id": "c", "order_details": {"foodItems": [ITEM], "deliveryLocation": "d"}}


@pytest.fixture
def client(documented_app: Flask) -> FlaskClient:
    return documented_app.test_client()


def documented(call: str, status: int) -> dict[str, Any]:
    """The examples of an answer by name."""
    answer = OPERATIONS[call]["responses"][str(status)]
    return {name: example["value"] for name, example in answer["content"]["application/json"]["examples"].items()}


def post(client: FlaskClient, call: str, body: object, **headers: str) -> Any:
    data = body if isinstance(body, bytes) else encode(body)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return client.post(f"/{call}", data=data, headers={"Content-Type": "application/json", **named})


def made(client: FlaskClient, like: OrderState) -> str:
    """Make an order that stands where the example stands, and return its id."""
    order_id = str(post(client, "createOrder", CREATE).json["order_id"])
    if like.runner_id:
        post(client, "updateOrderStatus", {"orderId": order_id, "status": "CREATED"})
        post(client, "verifyAndAcceptOrder", {"orderId": order_id, "runner_id": like.runner_id})
    post(client, "updateOrderStatus", {"orderId": order_id, "status": like.order_status})
    return order_id


def body_of(command: OrderCommand, order_id: str) -> dict[str, Any]:
    body = {"orderId": order_id}
    if isinstance(command, UpdateStatus):
        body["status"] = command.status
    if isinstance(command, AcceptOrder | ClearRunner) and command.runner_id:
        body["runner_id"] = command.runner_id
    return body


def refusals_of(client: FlaskClient, call: str) -> Iterator[Any]:
    """Everything that the document says is refused with a 400, refused."""
    for unreadable in (b"", b"[]", *UNREADABLE_BODIES.values()):
        yield post(client, call, unreadable)
    for unusable in UNUSABLE_BODIES[call].values():
        yield post(client, call, unusable)
    for order, command in AGAINST_THE_RULES.get(call, ()):
        yield post(client, call, body_of(command, made(client, order)))
    yield post(client, call, CREATE, Idempotency_Key="é")


@pytest.mark.parametrize("call", POSTS)
def test_every_refusal_of_a_post_is_documented_with_its_code_and_sentence(client: FlaskClient, call: str) -> None:
    """[H1] [H6] to [H14]"""
    answers = list(refusals_of(client, call))
    assert {answer.status_code for answer in answers} == {400}
    assert {answer.json["code"]: answer.json for answer in answers} == documented(call, 400)


@pytest.mark.parametrize("call", AGAINST_THE_RULES)
def test_an_unknown_order_is_documented(client: FlaskClient, call: str) -> None:
    """[H14]"""
    body = {"orderId": "unknown", "status": "PLACED", "runner_id": "r"}
    assert documented(call, 404) == {"order_not_found": post(client, call, body).json}


@pytest.mark.parametrize("call", POSTS)
def test_what_is_refused_before_the_body_is_read_is_documented(client: FlaskClient, call: str) -> None:
    """[H1] [H15]"""
    key = str(uuid4())
    post(client, call, next(iter(POSTS[call].sent.values())), Idempotency_Key=key)
    answers = (
        post(client, call, b" " * 131_073),
        post(client, call, CREATE, Content_Type="text/plain"),
        post(client, call, CREATE, Idempotency_Key=key),
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
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch, call: str, status: int, error: Exception
) -> None:
    """[H1]"""

    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(OrderService, "answer", fail)
    answer = post(client, call, CREATE)
    assert answer.status_code == status
    assert documented(call, status)[answer.json["code"]] == answer.json


def test_the_database_is_away_in_the_documents_words() -> None:
    """[H1]"""
    app = create_app(Settings.load({"DATABASE_URL": "postgresql://nobody@127.0.0.1:1/nothing"}))
    client = app.test_client()
    client.get("/orders")  # the first one finds it out
    assert client.get("/orders").json == documented("listOrders", 503)["database_away"]


QUERIES: Mapping[str, tuple[str, ...]] = {
    "listOrders": ("/orders?page=0", "/orders?limit=1001", "/orders?status=EATEN", "/orders?runnerId=%00"),
    "listCustomerOrders": ("/orders/customer/c?page=x", "/orders/customer/c?limit=1001", "/orders/customer/%00"),
    "getOrderDetails": ("/getOrderDetails", "/getOrderDetails?orderId=%00"),
}


@pytest.mark.parametrize("call", QUERIES)
def test_every_refusal_of_a_get_is_documented(client: FlaskClient, call: str) -> None:
    """[H3] [H4] [H5]"""
    answers = [client.get(query) for query in QUERIES[call]]
    assert {answer.json["code"]: answer.json for answer in answers} == documented(call, 400)


@pytest.mark.parametrize("call", POSTS)
def test_the_documented_success_is_the_answer(client: FlaskClient, call: str) -> None:
    """[H6] to [H13]"""
    before = {"cancelAcceptance": examples.ACCEPTED, "clearRunner": examples.ACCEPTED}.get(call, examples.CREATED)
    order_id = made(client, before)
    for body in POSTS[call].sent.values():
        answer = post(client, call, {**body, "orderId": order_id})
        assert answer.status_code == POSTS[call].status
        example = next(iter(documented(call, POSTS[call].status).values()))
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
