"""Lists, single orders, and ids that are hard to write into an address."""

from typing import Any
from urllib.parse import quote

import pytest
from flask import Flask

from tests.contract.conftest import Tables
from tests.harness.builders import Caller, create_body, unique

EMPTY = {"items": [], "total": 0, "pages": 0, "page": 1}
STRANGE = [
    "a/b", "/leading", "trailing/", "a//b", "../up", "./here", "50%", "%2F", "a b", "a+b", "a&b=c", "a?b#c", "ünï✓🍕",
    "'; DROP TABLE orders; --", '"quoted"', "back\\slash", "{brace}", "%s", "x" * 255, "🍕" * 255, "\u202eright",
    " ", ".", "..", "line\nbreak", "end\n", "\n", "/",
]  # fmt: skip


def ids(answer: Any) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [order["orderId"] for order in answer.json["items"]]


@pytest.fixture
def customer(api: Caller) -> tuple[str, list[str]]:
    """A customer with five orders, newest first."""
    name = unique("customer")
    return name, [api.create(create_body(name)) for _ in range(5)][::-1]


def test_health_says_healthy(api: Caller) -> None:
    """[H2]"""
    answer = api.get("/health")
    assert (answer.status_code, answer.json) == (200, {"status": "healthy"})


def test_a_list_has_its_items_newest_first(api: Caller, customer: tuple[str, list[str]]) -> None:
    """[H5] [H3]"""
    name, newest_first = customer
    answer = api.get(f"/orders/customer/{name}")
    assert ids(answer) == newest_first
    assert {key: answer.json[key] for key in ("total", "pages", "page")} == {"total": 5, "pages": 1, "page": 1}
    assert answer.json["items"][0] == api.order(newest_first[0])


def test_orders_of_one_moment_are_sorted_by_id_descending(
    api: Caller, tables: Tables, customer: tuple[str, list[str]]
) -> None:
    """[H3]"""
    name, orders = customer
    tables.rows("UPDATE orders SET created_at = '2026-01-01' WHERE cust_id = %s", name)
    assert ids(api.get(f"/orders/customer/{name}")) == sorted(orders, reverse=True)


@pytest.mark.parametrize(("page", "places"), [("1", [0, 1]), ("2", [2, 3]), ("3", [4]), ("4", []), ("007", [])])
def test_pages_cut_the_list_without_gap_or_overlap(
    api: Caller, customer: tuple[str, list[str]], page: str, places: list[int]
) -> None:
    """[H3] [H5]"""
    name, orders = customer
    answer = api.get(f"/orders/customer/{name}", page=page, limit=2)
    assert ids(answer) == [orders[place] for place in places]
    assert (answer.json["total"], answer.json["pages"], answer.json["page"]) == (5, 3, int(page))


@pytest.mark.parametrize("path", ["/orders", "/orders/customer/nobody"])
def test_a_page_far_past_every_end_is_empty(api: Caller, path: str) -> None:
    """[H3]"""
    answer = api.get(path, page="9" * 30, limit="1000")
    assert (answer.status_code, answer.json["items"]) == (200, [])


def test_nothing_at_all_has_no_pages(api: Caller) -> None:
    """[H3] [H5]"""
    assert api.get(f"/orders/customer/{unique()}").json == EMPTY
    assert api.get("/orders", runnerId=unique()).json == EMPTY


def test_all_orders_are_counted_and_ten_are_shown(api: Caller, tables: Tables, customer: tuple[str, Any]) -> None:
    """[H3]"""
    answer = api.get("/orders").json
    total = tables.one("SELECT count(*) FROM orders")
    assert (answer["total"], answer["pages"]) == (total, -(-total // 10))
    assert len(answer["items"]) == min(10, total)
    assert [order["orderId"] for order in answer["items"]][:5] == customer[1]


@pytest.mark.parametrize("written", ["ACCEPTED", "accepted", "Accepted"])
def test_filters_combine_and_the_status_may_have_any_case(api: Caller, written: str) -> None:
    """[H3]"""
    runner = unique("runner")
    accepted, placed = api.new("ACCEPTED", runner), api.new("PLACED", runner)
    assert ids(api.get("/orders", status=written, runnerId=runner)) == [accepted]
    assert ids(api.get("/orders", runnerId=runner)) == [placed, accepted]


def test_every_order_of_a_filtered_list_has_the_status(api: Caller) -> None:
    """[H3]"""
    api.new("DELIVERED")
    items = api.get("/orders", status="delivered", limit=1000).json["items"]
    assert items
    assert {order["orderStatus"] for order in items} == {"DELIVERED"}


def test_an_empty_parameter_is_as_if_left_out(api: Caller) -> None:
    """[H3]"""
    plain, empty = api.get("/orders"), api.get("/orders", status="", runnerId="", page="", limit="")
    assert plain.json == empty.json


@pytest.mark.parametrize("name", ["page", "limit"])
@pytest.mark.parametrize("value", ["0", "-1", "1.0", "one", "1e1", " 1", "+1", "٣", "0x1", "00", "1_0", "\x00", "-0"])
@pytest.mark.parametrize("path", ["/orders", "/orders/customer/c"])
def test_what_is_not_a_positive_integer_is_refused(api: Caller, path: str, name: str, value: str) -> None:
    """[H3] [H5]"""
    answer = api.get(path, **{name: value})
    assert (answer.status_code, answer.json["code"]) == (400, f"invalid_{name}")


@pytest.mark.parametrize(
    ("page", "limit", "echoed"),
    [
        ("1", "00000000000000000000005", 1),
        ("00000000000000000000001", "5", 1),
        ("9999999999999999", "10", 9999999999999999),
        ("9" * 5000, "1000", 10**18),
    ],
)
@pytest.mark.parametrize("path", ["/orders", "/orders/customer/c"])
def test_numbers_may_have_zeros_before_them_and_pages_may_be_far(
    api: Caller, path: str, page: str, limit: str, echoed: int
) -> None:
    """[H3] [H5] Beyond 18 digits a page is as far as any."""
    answer = api.get(path, page=page, limit=limit)
    assert (answer.status_code, answer.json["page"]) == (200, echoed)
    assert answer.json["items"] == [] or echoed == 1


@pytest.mark.parametrize(("limit", "status"), [("1000", 200), ("1001", 400), ("9" * 30, 400)])
@pytest.mark.parametrize("path", ["/orders", "/orders/customer/c"])
def test_the_limit_ends_at_a_thousand(api: Caller, path: str, limit: str, status: int) -> None:
    """[H3] [H5]"""
    assert api.get(path, limit=limit).status_code == status


@pytest.mark.parametrize("status", ["UNKNOWN", "ſ", "pendıng", "x" * 5000, "CREATED\x00", " CREATED", "PLACED,CREATED"])
def test_an_unknown_status_is_refused(api: Caller, status: str) -> None:
    """[H3] [H14] [H1]"""
    answer = api.get("/orders", status=status)
    assert (answer.status_code, answer.json["code"]) == (400, "invalid_status")
    assert answer.json["error"].startswith("Invalid status: ")
    assert len(answer.json["error"]) <= 200


@pytest.mark.parametrize("query", [{}, {"orderId": ""}, {"orderid": "x"}])
def test_details_need_an_order_id(api: Caller, query: dict[str, str]) -> None:
    """[H4] [H14]"""
    answer = api.get("/getOrderDetails", **query)
    assert (answer.status_code, answer.json["error"]) == (400, "Missing orderId parameter")


@pytest.mark.parametrize("order_id", STRANGE)
def test_an_id_that_cannot_exist_is_one_that_does_not(api: Caller, order_id: str) -> None:
    """[R6] [H4] [H14]"""
    answer = api.get("/getOrderDetails", orderId=order_id)
    assert (answer.status_code, answer.json) == (404, {"error": "Order not found", "code": "order_not_found"})


@pytest.mark.parametrize("order_id", ["x" * 256, "a\x00b", "\x00"])
def test_an_id_that_is_no_usable_text_is_refused(api: Caller, order_id: str) -> None:
    """[R6]"""
    assert api.get("/getOrderDetails", orderId=order_id).status_code == 400
    assert api.get("/orders", runnerId=order_id).status_code == 400
    assert api.get(f"/orders/customer/{quote(order_id, safe='')}").status_code == 400


@pytest.mark.parametrize("name", STRANGE)
def test_any_usable_text_can_be_a_customer_and_a_runner(api: Caller, name: str) -> None:
    """[R6] [H5] [H3]"""
    order_id = api.new("ACCEPTED", name, name)
    assert ids(api.get(f"/orders/customer/{quote(name, safe='')}"))[0] == order_id
    assert ids(api.get("/orders", runnerId=name))[0] == order_id


@pytest.mark.parametrize("path", ["/orders", "/getOrderDetails", "/orders/customer/c", "/health"])
def test_a_get_that_claims_json_without_a_body_is_a_plain_get(api: Caller, path: str) -> None:
    """[H1]"""
    headers = {"Content-Type": "application/json", "Authorization": "Bearer token"}
    assert api.get(path, headers, orderId="unknown").status_code in (200, 404)


@pytest.mark.parametrize("query", ["%ff", "%ed%a0%80", "%", "%zz", "=&;=", "orderId=%00%00", "page=%ff"])
@pytest.mark.parametrize("path", ["/orders", "/getOrderDetails", "/orders/customer/c"])
def test_an_address_that_is_not_utf8_is_no_bug_of_ours(app: Flask, path: str, query: str) -> None:
    """[H1]"""
    assert app.test_client().get(f"{path}?orderId={query}&{query}").status_code in (200, 400, 404)
    assert app.test_client().get(f"/orders/customer/{query}x").status_code in (200, 400)


@pytest.mark.parametrize("name", [b"x\xffy", b"x\xed\xa0\x80y", b"\xc3"])
def test_an_id_that_is_not_utf8_finds_nobody_elses_orders(app: Flask, api: Caller, name: bytes) -> None:
    """[R6]: neither those of the text that it is repaired to, nor of the one that it is written as."""
    written = quote(name)
    for other in (name.decode(errors="replace"), written):
        api.new("ACCEPTED", other, other)
    client = app.test_client()
    customer = {"PATH_INFO": f"/orders/customer/{name.decode('latin1')}"}
    for path, query in (("/orders", "runnerId"), ("/getOrderDetails", "orderId")):
        for value in (written, name.decode("latin1")):  # as it should be written, and as it is
            answer = client.get(path, environ_overrides={"QUERY_STRING": f"{query}={value}"})
            assert (answer.status_code, answer.get_json()["code"]) == (400, "invalid_field")
    answer = client.get("/", environ_overrides=customer)
    assert (answer.status_code, answer.get_json()["code"]) == (400, "invalid_field")
    assert client.get(f"/orders?other={written}").status_code == 200
    assert client.get(f"/orders?status={written}&page={written}").status_code == 400
