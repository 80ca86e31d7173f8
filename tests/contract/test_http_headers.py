"""The headers that guard callers and their browsers: the same from both servers, whatever the answer is."""

from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from werkzeug.test import Client, TestResponse

from tests.contract.conftest import make_app
from tests.harness.builders import POSTS, Caller, create_body, unique
from tests.harness.door import Client as Wire
from tests.harness.door import open_door, through

LISTED = "http://localhost:5173"
GETS = ("/health", "/livez", "/readyz", "/metrics", "/orders", "/getOrderDetails", "/orders/customer/c", "/nope", "/")
DOCUMENTS = ("/apidocs/", "/asyncapi", "/openapi.json", "/asyncapi.json", "/apidocs/asyncapi.css")
CORS = ("Access-Control-Allow-Origin", "Access-Control-Allow-Credentials", "Access-Control-Expose-Headers")
NO_HTTP = {
    "no request line": b"NONSENSE\r\n\r\n",
    "both lengths": b"POST /orders HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
    "too large a head": b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 40_000,
}
STRANGERS = {
    "another": "http://evil.example",
    "no origin": "null",
    "nothing": "",
    "wildcard": "*",
    "another port": "http://localhost:5174",
    "no port": "http://localhost",
    "another scheme": "https://localhost:5173",
    "upper case": "HTTP://LOCALHOST:5173",
    "a dot behind": "http://localhost.:5173",
    "a slash behind": f"{LISTED}/",
    "a path behind": f"{LISTED}/a",
    "a user before": "http://localhost:5173@evil.example",
    "longer": f"{LISTED}.evil.example",
    "two": f"{LISTED} http://evil.example",
    "a list": f"{LISTED},http://evil.example",
    "a space before": f" {LISTED} x",
}


@pytest.fixture(params=["Flask", "the loop"])
def caller(request: pytest.FixtureRequest, api: Caller, loop_api: Caller) -> Caller:
    return api if request.param == "Flask" else loop_api


def check_guards(answer: Any, *, is_document: bool = False) -> None:
    """Hold an answer against what all promise."""
    assert answer.headers.getlist("X-Content-Type-Options") == ["nosniff"]
    assert len(answer.headers.getlist("Cache-Control")) == 1
    assert is_document or answer.headers["Cache-Control"] == "no-store"
    assert "Origin" in answer.headers.getlist("Vary")
    assert not {"Server", "X-Powered-By", "Via", "Set-Cookie"} & set(answer.headers.keys())


@pytest.mark.parametrize("path", GETS)
def test_every_get_is_guarded(caller: Caller, path: str) -> None:
    """[S20]"""
    check_guards(caller.get(path))


@pytest.mark.parametrize("path", POSTS)
def test_every_change_is_guarded_refused_or_not(caller: Caller, path: str) -> None:
    """[S20]"""
    key = {"Idempotency_Key": unique()}
    for body in (POSTS[path], b"{", b"", b" " * (128 * 1024 + 1)):
        check_guards(caller.post(path, body))
    for _ in range(2):
        check_guards(caller.post(path, POSTS[path], **key))
    check_guards(caller.post(path, b"{}x", Content_Type="text/plain"))
    check_guards(caller.get(path))


@pytest.mark.parametrize("path", DOCUMENTS)
def test_a_document_says_itself_how_long_it_may_be_kept(caller: Caller, path: str) -> None:
    """[S20]"""
    answer = caller.get(path)
    assert answer.status_code == 200
    check_guards(answer, is_document=True)
    assert answer.headers["Cache-Control"] == "no-cache"


def test_an_order_and_a_page_of_orders_are_not_stored_anywhere(caller: Caller, api: Caller) -> None:
    """[S20] Also a page that comes in pieces."""
    customer = unique()
    order_id = api.create(create_body(customer, foodItems=[{"name": "x" * 2000, "price": 1, "quantity": 1}]))
    for answer in (caller.get("/getOrderDetails", orderId=order_id), caller.get(f"/orders/customer/{customer}")):
        assert answer.status_code == 200
        check_guards(answer)


def test_a_preflight_is_guarded(app: Flask, door: int) -> None:
    """[S20]"""
    for client in (app.test_client(), Client(through(door), TestResponse)):
        check_guards(client.options("/orders", headers={"Origin": LISTED, "Access-Control-Request-Method": "GET"}))


@pytest.mark.parametrize("name", NO_HTTP)
def test_the_refusal_of_what_is_no_http_is_guarded(door: int, name: str) -> None:
    """[S20]"""
    with Wire(door) as wire:
        wire.socket.sendall(NO_HTTP[name])
        head = wire.answer().head.lower()
    assert head.startswith((b"http/1.1 400 ", b"http/1.1 431 "))
    for field in (b"x-content-type-options: nosniff", b"cache-control: no-store", b"vary: origin"):
        assert head.count(field) == 1
    assert b"server:" not in head


@pytest.mark.parametrize("name", STRANGERS)
def test_an_origin_that_is_not_on_the_list_letter_by_letter_may_read_nothing(caller: Caller, name: str) -> None:
    """[S20] [H1]"""
    for path in ("/orders", "/nope", "/getOrderDetails"):
        answer = caller.get(path, {"Origin": STRANGERS[name]})
        assert not set(CORS) & set(answer.headers.keys())
        assert "Origin" in answer.headers.getlist("Vary")


def test_the_listed_origin_is_told_its_own_name_and_never_that_it_may_send_cookies(caller: Caller) -> None:
    """[S20] [H1]"""
    answer = caller.get("/orders", {"Origin": LISTED})
    assert [answer.headers.get(name) for name in CORS] == [LISTED, None, "X-Correlation-ID, Retry-After"]
    check_guards(answer)


def test_a_list_that_is_empty_lets_nobody_read(url: str) -> None:
    """[S20] Not the default origin either."""
    app = make_app(url, CORS_ORIGINS="")
    with open_door(app) as port:
        clients: list[Callable[[], Client]] = [app.test_client, lambda: Client(through(port), TestResponse)]
        for make in clients:
            answer = make().get("/health", headers={"Origin": LISTED})
            assert not set(CORS) & set(answer.headers.keys())
