"""Idempotency-Key: the same key and bytes get the same answer, done once."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.contract.conftest import Tables, await_waiting
from tests.contract.test_http_examples import hold_answer
from tests.contract.test_http_failures import check_failure
from tests.harness.builders import POSTS, Caller, at_once, create_body, unique

NewCaller = Callable[[], Caller]
TWINS = 12


def stored(tables: Tables, key: str) -> list[dict[str, Any]]:
    return tables.rows("SELECT * FROM idempotency_keys WHERE key = %s", key)


@pytest.mark.parametrize("path", ["/createOrder", "/testCreateOrder"])
def test_a_create_that_is_repeated_makes_one_order(api: Caller, tables: Tables, path: str) -> None:
    """[H15]"""
    body, key = create_body(unique("customer")), unique()
    first, again = (api.post(path, body, Idempotency_Key=key) for _ in range(2))
    assert (again.status_code, again.data) == (first.status_code, first.data) == (201, first.data)
    assert tables.one("SELECT count(*) FROM orders WHERE cust_id = %s", body["customer_id"]) == 1


@pytest.mark.parametrize("path", [path for path in POSTS if "reate" not in path])
def test_the_stored_answer_is_given_although_the_order_moved_on(api: Caller, path: str) -> None:
    """[H15]"""
    start = "ACCEPTED" if path in ("/cancelAcceptance", "/clearRunner") else "CREATED"
    order_id, key = api.new(start), unique()
    body = {**POSTS[path], "orderId": order_id}
    first = api.post(path, body, Idempotency_Key=key)
    api.update(order_id, "PENDING")
    moved_on = api.order(order_id)
    assert api.post(path, body, Idempotency_Key=key).data == first.data
    assert (first.status_code, api.order(order_id)) == (200, moved_on)


def test_a_refusal_of_the_rules_is_stored(api: Caller, tables: Tables) -> None:
    """[H15]"""
    order_id, key = api.new("PENDING"), unique()
    first = api.post("/cancelOrder", {"orderId": order_id}, Idempotency_Key=key)
    api.update(order_id, "CREATED")
    again = api.post("/cancelOrder", {"orderId": order_id}, Idempotency_Key=key)
    assert (first.status_code, again.status_code, again.data) == (400, 400, first.data)
    assert [row["status"] for row in stored(tables, key)] == [400]


@pytest.mark.parametrize("path", [path for path in POSTS if "reate" not in path])
def test_that_there_is_no_such_order_is_stored(api: Caller, tables: Tables, path: str) -> None:
    """[H15]"""
    key = unique()
    first, again = (api.post(path, POSTS[path], Idempotency_Key=key) for _ in range(2))
    assert (first.status_code, again.data) == (404, first.data)
    assert [row["status"] for row in stored(tables, key)] == [404]


def test_a_success_without_a_change_is_stored(api: Caller, tables: Tables) -> None:
    """[H15] [R4]"""
    order_id, key = api.new("CANCELLED"), unique()
    first = api.post("/cancelOrder", {"orderId": order_id}, Idempotency_Key=key)
    assert [(row["status"], bytes(row["body"])) for row in stored(tables, key)] == [(200, first.data)]


@pytest.mark.parametrize("path", POSTS)
@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        (b"{", "application/json", 400),
        (b"[]", "application/json", 400),
        (b"{}", "application/json", 400),
        (b"", "application/json", 400),
        (b'{"x": 1}', "application/json", 400),
        (b'{"x": 1}', "text/plain", 415),
        (b" " * (128 * 1024 + 1), "application/json", 413),
    ],
)
def test_what_is_refused_before_the_order_is_looked_at_is_not_stored(
    api: Caller, tables: Tables, path: str, body: bytes, content_type: str, status: int
) -> None:
    """[H15]: the key is free for a body that can be used."""
    key = unique()
    check_failure(api.post(path, body, Idempotency_Key=key, Content_Type=content_type), status, path)
    assert stored(tables, key) == []
    assert api.post(path, POSTS[path], Idempotency_Key=key).status_code in (201, 404)


@pytest.mark.parametrize("path", POSTS)
@pytest.mark.parametrize("other", [b"{", b"null", b"[]", b'{"customer_id": NaN}', b'{"x": 1}', b"\xff", b"[" * 99, b""])
def test_another_body_under_the_key_is_a_422_also_a_malformed_one(api: Caller, path: str, other: bytes) -> None:
    """[H15] [H1]"""
    key = unique()
    api.post(path, POSTS[path], Idempotency_Key=key)
    answer = api.post(path, other, Idempotency_Key=key)
    check_failure(answer, 422, path)
    assert answer.json["code"] == "idempotency_key_reused"


def test_the_same_json_in_other_bytes_is_another_body(api: Caller) -> None:
    """[H15]"""
    key = unique()
    api.post("/cancelOrder", b'{"orderId":"x"}', Idempotency_Key=key)
    assert api.post("/cancelOrder", b'{"orderId": "x"}', Idempotency_Key=key).status_code == 422
    assert api.post("/cancelOrder", b'{"orderId":"x"}', Idempotency_Key=key).status_code == 404


def test_a_key_counts_for_one_path(api: Caller) -> None:
    """[H15]"""
    order_id, key = api.new("CREATED"), unique()
    answers = [
        api.post(path, {"orderId": order_id}, Idempotency_Key=key)
        for path in ("/clearRunner", "/cancelAcceptance", "/cancelOrder")
    ]
    assert [answer.json["message"].split()[1] for answer in answers] == ["cleared", "acceptance", "cancelled"]


@pytest.mark.parametrize("key", ["", "x" * 256, "ü", "a\tb", "\x7f", "键", "a\x00b"])
@pytest.mark.parametrize("path", POSTS)
def test_an_unusable_key_is_refused(api: Caller, path: str, key: str) -> None:
    """[H15]"""
    answer = api.post(path, POSTS[path], Idempotency_Key=key.encode().decode("latin-1"))
    check_failure(answer, 400, path)
    assert answer.json["code"] == "invalid_idempotency_key"


@pytest.mark.parametrize("key", ["x" * 255, "!", "a b", "'; --", "%s {key} ~"])
def test_any_printable_ascii_can_be_a_key(api: Caller, key: str) -> None:
    """[H15]"""
    body = create_body(unique())
    first, again = (api.post("/createOrder", body, Idempotency_Key=key[:200] + unique()) for _ in range(2))
    assert first.json["order_id"] != again.json["order_id"]
    assert api.post("/completeOrder", {"orderId": "nobody"}, Idempotency_Key=key).status_code == 404


def test_a_repeat_has_a_correlation_id_of_its_own(api: Caller, tables: Tables) -> None:
    """[H15] [H16]: the event keeps the first one."""
    body, key = create_body(), unique()
    first, again = (
        api.post("/createOrder", body, Idempotency_Key=key, X_Correlation_ID=name) for name in ("first", "again")
    )
    assert again.headers["X-Correlation-ID"] == "again"
    assert [event["correlation_id"] for event in tables.events(first.json["order_id"])] == ["first"]


def test_twins_at_once_make_one_order_and_get_one_answer(new_caller: NewCaller, tables: Tables) -> None:
    """[H15]"""
    body, key = create_body(unique("customer")), unique()
    calls = [lambda: new_caller().post("/createOrder", body, Idempotency_Key=key)] * TWINS
    answers = at_once(calls)
    assert {(answer.status_code, answer.data) for answer in answers} == {(201, answers[0].data)}
    assert tables.one("SELECT count(*) FROM orders WHERE cust_id = %s", body["customer_id"]) == 1


@pytest.mark.parametrize("path", [path for path in POSTS if "reate" not in path])
def test_twins_at_once_change_an_order_once(new_caller: NewCaller, tables: Tables, path: str) -> None:
    """[H15] [K3]"""
    api = new_caller()
    order_id = api.new("ACCEPTED" if path in ("/cancelAcceptance", "/clearRunner") else "CREATED")
    body, key, before = {**POSTS[path], "orderId": order_id}, unique(), len(tables.changes(order_id))
    answers = at_once([lambda: new_caller().post(path, body, Idempotency_Key=key)] * TWINS)
    assert {(answer.status_code, answer.data) for answer in answers} == {(200, answers[0].data)}
    assert len(tables.changes(order_id)) == len(tables.events(order_id)) == before + 1


def test_a_twin_waits_for_the_first_and_gets_its_answer(new_caller: NewCaller, tables: Tables) -> None:
    """[H15]"""
    order_id, key = new_caller().new("CREATED"), unique()

    def call() -> Any:
        return new_caller().post("/cancelOrder", {"orderId": order_id}, Idempotency_Key=key)

    with ThreadPoolExecutor(2) as threads:
        with tables.row_locked(order_id):
            both = [threads.submit(call) for _ in range(2)]
            await_waiting(tables, 1)  # its twin waits in the process
        answers = [one.result(30) for one in both]
    assert [answer.status_code for answer in answers] == [200, 200]
    assert answers[0].data == answers[1].data


def test_a_twin_of_one_that_hangs_is_told_after_two_seconds(new_caller: NewCaller, tables: Tables) -> None:
    """[H15] [H1]: 409 with Retry-After, and within four seconds both have an answer."""
    order_id, key = new_caller().new("CREATED"), unique()

    def call() -> tuple[float, Any]:
        start = time.monotonic()
        answer = new_caller().post("/cancelOrder", {"orderId": order_id}, Idempotency_Key=key)
        return time.monotonic() - start, answer

    with ThreadPoolExecutor(2) as threads, tables.row_locked(order_id):
        first = threads.submit(call)
        await_waiting(tables, 1)
        seconds, twin = threads.submit(call).result(30)
        first_seconds, first_answer = first.result(30)
    hold_answer("idempotency_key_in_use", twin)
    assert (twin.status_code, twin.headers["Retry-After"].isdigit()) == (409, True)
    assert 1.9 < seconds < 4
    assert (first_answer.status_code, first_seconds < 4) == (503, True)
    assert new_caller().post("/cancelOrder", {"orderId": order_id}, Idempotency_Key=key).status_code == 200
