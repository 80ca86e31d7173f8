"""The browser front end: preflights, polling, and a screen that is minutes old."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from tests.callers.http import call, new_order, order_of, post

ORIGIN = "http://localhost:5173"
SENT = {"Origin": ORIGIN, "Authorization": "Bearer token", "Content-Type": "application/json"}
PATHS = ("/orders?status=CREATED", "/orders?runnerId=r", "/orders/customer/c", "/getOrderDetails?orderId=o")


@pytest.mark.parametrize("path", [*PATHS, "/updateOrderStatus"])
def test_the_preflight_of_each_call_is_granted(url: str, path: str) -> None:
    """[H1]"""
    method = "POST" if path == "/updateOrderStatus" else "GET"
    asked = {"Access-Control-Request-Method": method, "Access-Control-Request-Headers": "authorization,content-type"}
    answer = call("OPTIONS", url + path, headers={"Origin": ORIGIN} | asked)
    assert answer.status in (200, 204)
    assert answer.headers["Access-Control-Allow-Origin"] == ORIGIN
    assert method in answer.headers["Access-Control-Allow-Methods"].split(", ")
    granted = answer.headers["Access-Control-Allow-Headers"].lower().split(", ")
    assert {"authorization", "content-type"} <= set(granted)


@pytest.mark.parametrize("path", PATHS)
def test_a_get_with_a_json_content_type_and_no_body_is_a_plain_get(url: str, path: str) -> None:
    """[H1] A failure is readable for the page's script too."""
    answer = call("GET", url + path, headers=SENT)
    assert answer.headers["Access-Control-Allow-Origin"] == ORIGIN
    if path.startswith("/orders"):
        assert (answer.status, type(answer.body["items"])) == (200, list)
    else:
        assert (answer.status, answer.body["error"]) == (404, "Order not found")


def test_polling_follows_an_order_from_list_to_list(url: str) -> None:
    """[H3] [H4] [H5] [O3]"""
    runner_id, customer_id = f"runner-{uuid4().hex}", f"customer-{uuid4().hex}"
    order_id = new_order(url, customer_id=customer_id)

    def ids(path: str) -> list[str]:
        return [order["orderId"] for order in call("GET", url + path, headers=SENT).body["items"]]

    assert ids("/orders?status=CREATED")[0] == order_id
    assert ids(f"/orders?runnerId={runner_id}") == []
    post(f"{url}/verifyAndAcceptOrder", {"orderId": order_id, "runner_id": runner_id}, SENT)
    assert order_id not in ids("/orders?status=CREATED&limit=1000")
    assert ids(f"/orders?runnerId={runner_id}") == ids(f"/orders/customer/{customer_id}") == [order_id]
    accepted = datetime.fromisoformat(order_of(url, order_id)["acceptedAt"])
    assert timedelta(0) <= datetime.now(UTC) - accepted < timedelta(minutes=1)


def test_a_screen_that_is_minutes_old_reads_why_its_update_is_refused(url: str) -> None:
    """[R2] [H8] The runner presses PLACED on an order that its customer has cancelled since."""
    order_id = new_order(url)
    shown = order_of(url, order_id)
    assert post(f"{url}/cancelOrder", {"orderId": order_id}, SENT).status == 200
    answer = post(f"{url}/updateOrderStatus", {"orderId": shown["orderId"], "status": "PLACED"}, SENT)
    assert answer.status == 400
    assert 0 < len(answer.body["error"]) <= 200
    assert answer.headers["Access-Control-Allow-Origin"] == ORIGIN
    assert order_of(url, order_id)["orderStatus"] == "CANCELLED"


def test_a_screen_that_asks_for_what_is_already_so_is_content(url: str) -> None:
    """[R4]"""
    order_id = new_order(url, "DELIVERED")
    before = order_of(url, order_id)
    answer = post(f"{url}/updateOrderStatus", {"orderId": order_id, "status": "DELIVERED"}, SENT)
    assert (answer.status, answer.body["order"]) == (200, before)


def test_another_origin_is_granted_nothing(url: str) -> None:
    """[H1]"""
    answer = call("GET", f"{url}/orders", headers=SENT | {"Origin": "http://elsewhere.example"})
    assert answer.headers["Access-Control-Allow-Origin"] is None
