"""Whatever comes in is a refusal with a sentence, never a bug of ours."""

import io
import json
from typing import Any

import pytest
from flask import Flask

from tests.contract.test_http_failures import check_failure
from tests.harness.builders import POSTS, Caller

EVERY_POST = pytest.mark.parametrize("path", POSTS)
DEEP = 33

UNREADABLE = {
    "cut off": b'{"orderId": ',
    "not json": b"orderId=5",
    "two values": b"{} {}",
    "trailing comma": b'{"orderId": "a",}',
    "single quotes": b"{'orderId': 'a'}",
    "not utf-8": b'{"orderId": "\xff"}',
    "utf-16": '{"orderId": "a"}'.encode("utf-16"),
    "raw surrogate": b'{"orderId": "\xed\xa0\x80"}',
    "raw control": b'{"orderId": "a\nb"}',
    "bom alone": b"\xef\xbb\xbf",
    "spaces": b"   ",
    "deep list": b'{"x":' + b"[" * DEEP + b"]" * DEEP + b"}",
    "deep object": b'{"a":' * DEEP + b"1" + b"}" * DEEP,
    "very deep": b"[" * 60_000,
    "nan": b'{"x": NaN}',
    "infinity": b'{"x": -Infinity}',
    "1e400": b'{"x": 1e400}',
    "-1e400": b'{"x": [-1e400]}',
    "5000 digits": b'{"x": ' + b"9" * 5000 + b"}",
    "huge exponent": b'{"x": 1e99999999999999999999}',
    "tiny": b'{"x": 1e-400}',
    "nul": b'{"orderId": "a\\u0000b"}',
    "nul in a key": b'{"a\\u0000b": 1}',
    "lone surrogate": b'{"orderId": "\\ud800"}',
    "lone low surrogate": b'{"x": ["\\udc00x"]}',
    "duplicate key": b'{"orderId": "a", "orderId": "a"}',
    "duplicate key inside": b'{"x": [{"a": 1, "\\u0061": 2}]}',
}
NO_OBJECT = [b"[]", b"[{}]", b"5", b"1.5", b'"text"', b"true", b"false", b'""', b"[null]"]
NO_DATA = [b"", b"null", b"{}", b" { } ", b"\n null"]
WRONG = [1, 1.5, True, [], {}, ["a"], {"a": 1}, "", "x" * 10_000, "x" * 256, None]


@EVERY_POST
@pytest.mark.parametrize("body", UNREADABLE.values(), ids=UNREADABLE)
def test_unreadable_json_is_refused(api: Caller, path: str, body: bytes) -> None:
    """[H1] [R6] [R7]"""
    check_failure(api.post(path, body), 400, path)


@EVERY_POST
@pytest.mark.parametrize("body", NO_OBJECT)
def test_json_that_is_no_object_is_refused(api: Caller, path: str, body: bytes) -> None:
    """[H1]"""
    answer = api.post(path, body)
    check_failure(answer, 400, path)
    assert answer.json["code"] == "invalid_body"


@EVERY_POST
@pytest.mark.parametrize("body", NO_DATA)
def test_no_data_has_its_sentence(api: Caller, path: str, body: bytes) -> None:
    """[H14]"""
    answer = api.post(path, body)
    check_failure(answer, 400, path)
    assert answer.json["error"] == "No data provided"


@EVERY_POST
@pytest.mark.parametrize("content_type", ["", "text/plain", "application/xml", "application/x-www-form-urlencoded"])
def test_no_body_is_no_data_whatever_the_content_type(api: Caller, path: str, content_type: str) -> None:
    """[H14]"""
    answer = api.post(path, b"", Content_Type=content_type)
    check_failure(answer, 400, path)
    assert answer.json["error"] == "No data provided"


@EVERY_POST
@pytest.mark.parametrize("value", WRONG, ids=lambda value: f"{type(value).__name__}-{str(value)[:8]}")
def test_a_field_of_the_wrong_type_is_refused(api: Caller, path: str, value: Any) -> None:
    """[R6]: each required field in turn."""
    for name in POSTS[path]:
        answer = api.post(path, {**POSTS[path], name: value})
        check_failure(answer, 400, path)
        assert name in answer.json["error"] or answer.json["error"].startswith("Invalid status: ")


@EVERY_POST
def test_required_fields_are_named_together(api: Caller, path: str) -> None:
    """[H14]"""
    answer = api.post(path, {"unknown": 1})
    check_failure(answer, 400, path)
    assert answer.json["error"] == f"Missing required fields: {', '.join(POSTS[path])}"


@pytest.mark.parametrize("runner", [1, [], {}, "", "x" * 256, True])
def test_the_optional_runner_of_a_clear_is_checked_too(api: Caller, runner: Any) -> None:
    """[R6]"""
    check_failure(api.post("/clearRunner", {"orderId": "a", "runner_id": runner}), 400, "/clearRunner")


@EVERY_POST
def test_unknown_keys_are_ignored(api: Caller, path: str) -> None:
    """[R7]"""
    extra = {"x": None, "y": [1.5, {"z": "✓"}], "orderID": 5, "payment_status": "CAPTURED", "": 1}
    assert api.post(path, {**POSTS[path], **extra}).status_code in (201, 404)


@EVERY_POST
def test_thirty_two_brackets_may_be_open(api: Caller, path: str) -> None:
    """[R7]"""
    deepest: Any = []
    for _ in range(30):
        deepest = [deepest]
    assert api.post(path, {**POSTS[path], "x": deepest}).status_code in (201, 404)
    assert api.post(path, {**POSTS[path], "x": [deepest]}).json["code"] == "too_deep"


@EVERY_POST
def test_brackets_in_text_do_not_count(api: Caller, path: str) -> None:
    """[R7]"""
    assert api.post(path, {**POSTS[path], "x": '\\"[' * 100}).status_code in (201, 404)


@EVERY_POST
@pytest.mark.parametrize("size", [128 * 1024, 128 * 1024 + 1, 20 * 1024 * 1024])
def test_a_chunked_body_is_measured_too(app: Flask, path: str, size: int) -> None:
    """[R6] [H1]: it has no Content-Length."""
    body = json.dumps(POSTS[path]).encode()
    answer = app.test_client().post(
        path,
        input_stream=io.BytesIO(body + b" " * (size - len(body))),
        headers={"Content-Type": "application/json", "Transfer-Encoding": "chunked"},
        environ_overrides={"wsgi.input_terminated": True},
    )
    if size > 128 * 1024:
        check_failure(answer, 413, path)
    else:
        assert answer.status_code in (201, 404)


@EVERY_POST
@pytest.mark.parametrize("length", ["-1", "abc", "99999999999999999999"])
def test_an_untrue_content_length_is_no_bug_of_ours(app: Flask, path: str, length: str) -> None:
    """[H1]"""
    headers = {"Content-Type": "application/json", "Content-Length": length}
    answer = app.test_client().post(path, input_stream=io.BytesIO(b"{}"), headers=headers)
    assert answer.status_code in (400, 413)


@pytest.mark.parametrize("text", ["a\\u0000b", "\\ud800", "\\udfff\\ud800"])
def test_text_inside_items_must_be_storable_too(api: Caller, text: str) -> None:
    """[R6]"""
    for item in (f'{{"name": "{text}", "price": 1, "quantity": 1}}', f'{{"{text}": 1, "price": 1, "quantity": 1}}'):
        body = f'{{"customer_id": "c", "order_details": {{"foodItems": [{item}], "deliveryLocation": "d"}}}}'
        check_failure(api.post("/createOrder", body.encode()), 400, "/createOrder")


def test_a_pair_of_surrogates_is_one_character(api: Caller) -> None:
    """[R6]"""
    body = json.dumps({**POSTS["/createOrder"], "customer_id": "🍕"}).encode()
    assert b"\\ud83c" in body
    assert api.order(api.post("/createOrder", body).json["order_id"])["custId"] == "🍕"


def test_a_body_full_of_items_is_priced_exactly(api: Caller) -> None:
    """[R6] [O2]"""
    items = [{"price": "0.001", "quantity": 1}] * 3000
    body = {"customer_id": "c", "order_details": {"foodItems": items, "deliveryLocation": "d"}}
    assert api.order(api.create(body))["foodFee"] == 3.0


@pytest.mark.parametrize("order_id", ["x" * 255, "../etc", "%00", "'", "00000000-0000-0000-0000-000000000000", "ü✓"])
@pytest.mark.parametrize("path", [path for path in POSTS if "orderId" in POSTS[path]])
def test_an_order_id_that_cannot_exist_does_not(api: Caller, path: str, order_id: str) -> None:
    """[R6]"""
    assert api.post(path, {**POSTS[path], "orderId": order_id}).status_code == 404
