"""Hostile texts in every text field, parameter and path of every endpoint, over the service's own server."""

import json
from collections.abc import Iterator
from copy import deepcopy
from typing import Any
from urllib.parse import quote

import pytest

from app.models.order import OrderStatus
from tests.contract.conftest import Tables, make_app
from tests.contract.test_http_failures import SECRETS
from tests.harness.builders import POSTS, Answer, Caller, create_body
from tests.harness.door import Client as Wire
from tests.harness.door import open_door
from tests.harness.hostile import TEXTS, UNSTORABLE

QUERIES = {"/orders": ("runnerId", "status", "page", "limit"), "/getOrderDetails": ("orderId",)}
CREATES = ("/createOrder", "/testCreateOrder")
EVERY_TEXT = pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
EVERY_UNSTORABLE = pytest.mark.parametrize("text", UNSTORABLE.values(), ids=UNSTORABLE)


def text_fields(value: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield where the body has a text."""
    if isinstance(value, str):
        yield place
    elif isinstance(value, dict | list):
        for name, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from text_fields(item, (*place, name))


def put(body: Any, place: tuple[Any, ...], text: str) -> Any:
    """Return the body with the text in that place."""
    changed = deepcopy(body)
    at = changed
    for name in place[:-1]:
        at = at[name]
    at[place[-1]] = text
    return changed


FIELDS = [(path, place) for path, body in POSTS.items() for place in text_fields(body)]


def check(answer: Answer, text: str, *statuses: int) -> None:
    """Hold an answer against what none may be: our mistake, or one that tells what is inside the service."""
    assert answer.status_code in statuses, answer.text
    assert "X-Injected" not in answer.headers
    shown = answer.text.replace(json.dumps(text, ensure_ascii=False)[1:-1], "")
    if answer.status_code >= 400:
        assert not SECRETS.search(shown.replace(text, "")), answer.text
        assert len(answer.json["error"]) <= 200


def test_every_text_field_is_found() -> None:
    assert {path for path, _ in FIELDS} == set(POSTS)
    assert ("/createOrder", ("order_details", "foodItems", 0, "name")) in FIELDS


@EVERY_TEXT
def test_a_text_in_a_field_is_taken_as_it_is_or_refused(loop_api: Caller, text: str) -> None:
    """[R6] [H1]"""
    for path, place in FIELDS:
        statuses = (400,) if place == ("status",) else (201,) if path in CREATES else (404,)
        check(loop_api.post(path, put(POSTS[path], place, text)), text, *statuses)


@EVERY_UNSTORABLE
def test_what_no_database_can_hold_is_refused(loop_api: Caller, text: str) -> None:
    """[R6] In whatever field."""
    for path, place in FIELDS:
        answer = loop_api.post(path, put(POSTS[path], place, text))
        check(answer, text, 400)
        assert answer.json["code"] == "invalid_text"


@EVERY_TEXT
def test_a_text_comes_back_as_it_was_sent(api: Caller, loop_api: Caller, tables: Tables, text: str) -> None:
    """[R6] [O1] By id and in lists, in the history and in the events."""
    item = {"name": text, text: text, "price": 1, "quantity": 1}
    body = create_body(text, foodItems=[item], deliveryLocation=text, storeLocation=text)
    order_id = loop_api.create(body)
    assert loop_api.update(order_id, "CREATED").status_code == 200
    assert loop_api.accept(order_id, text).status_code == 200
    order = loop_api.order(order_id)
    assert {order[name] for name in ("custId", "runnerId", "storeLocation", "deliveryLocation")} == {text}
    assert json.loads(order["orderDescription"]) == [item]
    for path, query in ((f"/orders/customer/{quote(text, safe='')}", {}), ("/orders", {"runnerId": text})):
        page = loop_api.get(path, **query)
        check(page, text, 200)
        assert page.json["items"][0] == order
    assert tables.changes(order_id)[-1]["runner_id"] == text
    (*_, event) = tables.events(order_id)
    assert json.loads(bytes(event["payload"]))["payload"]["runnerId"] == text
    assert json.loads(json.loads(bytes(event["payload"]))["payload"]["event"]) == api.order(order_id) == order


@EVERY_TEXT
def test_a_text_in_an_address_is_an_id_that_does_not_exist_or_refused(loop_api: Caller, text: str) -> None:
    """[H1] [H3] [H4] [R6]"""
    for path, names in QUERIES.items():
        for name in names:
            check(loop_api.get(path, **{name: text}), text, 200, 400, 404)
    check(loop_api.get("/getOrderDetails", orderId=text), text, 404)
    check(loop_api.get(f"/orders/customer/{quote(text, safe='')}"), text, 200)
    for unknown in (f"/{quote(text, safe='')}", f"/apidocs/{quote(text, safe='')}", f"/createOrder/{quote(text)}"):
        check(loop_api.get(unknown), text, 404)


@EVERY_TEXT
def test_a_text_as_a_key_is_a_key(loop_api: Caller, text: str) -> None:
    """[H15] The same key finds the same answer: the text went into the table and was found there."""
    is_key = text.isprintable() and text.isascii() and text.strip()
    key = text if is_key else quote(text)
    for path, body in POSTS.items():
        first, second = (loop_api.post(path, body, Idempotency_Key=key) for _ in range(2))
        check(first, key, 201 if path in CREATES else 404)
        assert first.data == second.data


@EVERY_TEXT
def test_a_refusal_repeats_the_text_as_json_and_nothing_else(loop_api: Caller, text: str) -> None:
    """[H14] A status that does not exist, as a body and as a filter."""
    for answer in (loop_api.update("o", text), loop_api.get("/orders", status=text)):
        if answer.status_code == 400:
            sentence = answer.json["error"]
            assert f"Invalid status: {text}".startswith(sentence.removesuffix("…"))
    assert text not in OrderStatus.__members__


@pytest.fixture(scope="module")
def asking_port(url: str) -> Iterator[int]:
    """The port of a service that asks who calls."""
    app = make_app(url, AUTH_MODE="api_key")
    app.extensions["api_keys"].refresh()
    with open_door(app) as port:
        yield port


@EVERY_TEXT
@pytest.mark.parametrize("scheme", ["Bearer ", "Bearer ok_", "Basic ", ""])
def test_a_text_as_a_credential_is_refused_and_not_repeated(asking_port: int, scheme: str, text: str) -> None:
    """[S1] [S2]"""
    with Wire(asking_port) as wire:
        wire.socket.sendall(f"GET /orders HTTP/1.1\r\nHost: x\r\nAuthorization: {scheme}{text}\r\n\r\n".encode())
        answer = wire.answer()
    assert answer.status in (400, 401)
    assert b"x-injected" not in answer.head.lower()
    shown = answer.body.decode()
    assert not SECRETS.search(shown)
    assert len(text) < 4 or text.strip() not in shown
