"""Failures as JSON, CORS for the browser, and the correlation id of every answer."""

import re
from typing import Any
from uuid import UUID

import pytest
from flask import Flask

from tests.contract.conftest import Tables, make_app
from tests.harness.builders import POSTS, SAYS_SUCCESS, Caller, unique

UNKNOWN = ("/", "/unknown", "/orders/", "/orders/customer/", "/createOrder/", "//orders", "/%00")
JSON_TYPES = ("application/json; charset=utf-8", "APPLICATION/JSON", "application/foo+json")
ORIGIN = "http://localhost:5173"
GETS = ("/health", "/orders", "/getOrderDetails", "/orders/customer/c")
SECRETS = re.compile(r"psycopg|sqlalchemy|traceback|select |insert |update orders|pg_|\.py|0x", re.IGNORECASE)


def check_failure(answer: Any, status: int, path: str) -> None:
    """Hold an answer against everything that all failures promise."""
    assert answer.status_code == status, answer.text
    assert answer.content_type == "application/json"
    assert set(answer.json) == {"error", "code"} | ({"success"} if path in SAYS_SUCCESS else set())
    assert answer.json.get("success", False) is False
    assert re.fullmatch("[a-z]+(_[a-z]+)*", answer.json["code"])
    assert 0 < len(answer.json["error"]) <= 200
    assert not SECRETS.search(answer.text)


@pytest.mark.parametrize("path", UNKNOWN)
@pytest.mark.parametrize("method", ["get", "post"])
def test_an_unknown_path_is_a_404_in_json(app: Flask, path: str, method: str) -> None:
    """[H1]"""
    check_failure(getattr(app.test_client(), method)(path), 404, path)


@pytest.mark.parametrize("method", ["get", "put", "patch", "delete"])
@pytest.mark.parametrize("path", POSTS)
def test_a_method_that_is_not_allowed_is_a_405_in_json(app: Flask, path: str, method: str) -> None:
    """[H1]"""
    answer = getattr(app.test_client(), method)(path)
    check_failure(answer, 405, path)
    assert "POST" in answer.headers["Allow"]


@pytest.mark.parametrize("path", GETS)
def test_a_post_to_a_reading_path_is_a_405_in_json(app: Flask, path: str) -> None:
    """[H1]"""
    check_failure(app.test_client().post(path, json={}), 405, path)


@pytest.mark.parametrize("path", [path for path in POSTS if "reate" not in path])
def test_an_unknown_order_is_a_404_with_the_known_sentence(api: Caller, path: str) -> None:
    """[H1] [H14]"""
    answer = api.post(path, POSTS[path])
    check_failure(answer, 404, path)
    assert (answer.json["error"], answer.json["code"]) == ("Order not found", "order_not_found")


@pytest.mark.parametrize("path", POSTS)
def test_a_body_that_is_too_large_is_a_413_in_json(api: Caller, path: str) -> None:
    """[H1] [R6]: 128 KiB are taken, one byte more is not."""
    check_failure(api.post(path, b" " * (128 * 1024 + 1)), 413, path)
    check_failure(api.post(path, b" " * (128 * 1024)), 400, path)


@pytest.mark.parametrize("path", POSTS)
@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "", "multipart/form-data"])
def test_a_body_that_is_not_said_to_be_json_is_a_415_in_json(api: Caller, path: str, content_type: str) -> None:
    """[H1]"""
    check_failure(api.post(path, b"{}x", Content_Type=content_type), 415, path)


@pytest.mark.parametrize("content_type", JSON_TYPES)
def test_json_may_be_said_in_other_ways(api: Caller, content_type: str) -> None:
    """[H1]"""
    assert api.post("/createOrder", POSTS["/createOrder"], Content_Type=content_type).status_code == 201


def test_long_input_does_not_make_a_long_sentence(api: Caller) -> None:
    """[H1]"""
    check_failure(api.update(unique(), "S" * 10_000), 400, "/updateOrderStatus")
    items = [{"price": "p" * 10_000, "quantity": 1}]
    body = {"customer_id": "c", "order_details": {"foodItems": items, "deliveryLocation": "d"}}
    check_failure(api.post("/createOrder", body), 400, "/createOrder")


def test_a_bug_of_ours_is_a_500_that_tells_nothing(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """[H1]"""
    broken = make_app(url)

    def explode(*_: Any) -> None:
        raise RuntimeError("SELECT secret FROM psycopg2")

    monkeypatch.setattr(broken.extensions["order_service"], "execute", explode)
    answer = broken.test_client().post("/createOrder", json=POSTS["/createOrder"], headers={"Origin": ORIGIN})
    check_failure(answer, 500, "/createOrder")
    assert answer.get_json()["code"] == "internal_error"
    assert answer.headers["Access-Control-Allow-Origin"] == ORIGIN


# CORS


@pytest.mark.parametrize("path", [*POSTS, *GETS])
def test_a_preflight_allows_what_the_front_end_sends(app: Flask, path: str) -> None:
    """[H1]"""
    asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization,content-type"}
    answer = app.test_client().options(path, headers={"Origin": ORIGIN, **asked})
    allowed = {name.strip().lower() for name in answer.headers["Access-Control-Allow-Headers"].split(",")}
    assert answer.status_code == 200
    assert answer.headers["Access-Control-Allow-Origin"] == ORIGIN
    assert {"GET", "POST"} <= set(answer.headers["Access-Control-Allow-Methods"].split(", "))
    assert allowed >= {"authorization", "content-type", "idempotency-key", "x-correlation-id"}


@pytest.mark.parametrize(
    ("method", "path"), [("get", "/health"), ("get", "/unknown"), ("post", "/orders"), ("post", "/createOrder")]
)
def test_the_browser_may_read_successes_and_failures(app: Flask, method: str, path: str) -> None:
    """[H1]"""
    answer = getattr(app.test_client(), method)(path, headers={"Origin": ORIGIN})
    assert answer.headers["Access-Control-Allow-Origin"] == ORIGIN
    exposed = answer.headers["Access-Control-Expose-Headers"].split(", ")
    assert {"X-Correlation-ID", "Retry-After"} <= set(exposed)
    assert "Origin" in answer.headers["Vary"]


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://localhost:5173.evil.example", ""])
def test_other_origins_are_not_allowed(app: Flask, origin: str) -> None:
    """[H1]"""
    answer = app.test_client().get("/health", headers={"Origin": origin})
    assert "Access-Control-Allow-Origin" not in answer.headers


# X-Correlation-ID


@pytest.mark.parametrize(("method", "path"), [("get", path) for path in (*GETS, "/unknown")] + [("post", "/orders")])
def test_a_named_correlation_id_comes_back_in_every_answer(app: Flask, method: str, path: str) -> None:
    """[H16]"""
    answer = getattr(app.test_client(), method)(path, headers={"X-Correlation-ID": "My.id_1:2-3"})
    assert answer.headers["X-Correlation-ID"] == "My.id_1:2-3"


@pytest.mark.parametrize("path", POSTS)
def test_a_refused_change_names_its_correlation_id_too(api: Caller, path: str) -> None:
    """[H16]"""
    for body in (b"{", b"", POSTS[path]):
        assert api.post(path, body, X_Correlation_ID="abc").headers["X-Correlation-ID"] == "abc"


@pytest.mark.parametrize("named", ["", "a b", "x" * 129, "ü", "a/b", "a\tb", "é;", "{id}", '"a"', None])
def test_an_unusable_correlation_id_is_replaced_by_a_fresh_one(api: Caller, named: str | None) -> None:
    """[H16]"""
    headers = {} if named is None else {"X-Correlation-ID": named}
    first, second = (api.get("/health", headers).headers["X-Correlation-ID"] for _ in range(2))
    assert UUID(first) != UUID(second)


@pytest.mark.parametrize("named", ["x" * 128, "saga-1"])
def test_the_correlation_id_becomes_that_of_the_event(api: Caller, tables: Tables, named: str) -> None:
    """[H16] [K12]"""
    answer = api.post("/createOrder", POSTS["/createOrder"], X_Correlation_ID=named)
    (event,), (change,) = tables.events(answer.json["order_id"]), tables.changes(answer.json["order_id"])
    assert (answer.headers["X-Correlation-ID"], event["correlation_id"], change["correlation_id"]) == (named,) * 3


def test_without_one_a_fresh_id_serves_the_answer_and_the_event(api: Caller, tables: Tables) -> None:
    """[H16]"""
    answer = api.post("/createOrder", POSTS["/createOrder"])
    (event,) = tables.events(answer.json["order_id"])
    assert event["correlation_id"] == answer.headers["X-Correlation-ID"]
