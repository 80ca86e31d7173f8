"""A caller of the HTTP door that gives up after 5 s, as all of them do."""

import json
import urllib.error
import urllib.request
from dataclasses import dataclass
from email.message import Message
from typing import Any

GIVES_UP_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back; `body` is the parsed JSON, None where there was none."""

    status: int
    headers: Message
    body: Any


def call(method: str, url: str, body: object = None, headers: dict[str, str] | None = None) -> Answer:
    """Return the answer, whatever its status. Raises OSError where none comes within 5 s."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"} | (headers or {}), method=method)
    try:
        with urllib.request.urlopen(request, timeout=GIVES_UP_SECONDS) as answer:
            return _read(answer)
    except urllib.error.HTTPError as error:
        with error:
            return _read(error)


def _read(answer: Any) -> Answer:
    text = answer.read()
    return Answer(answer.status, answer.headers, json.loads(text) if text else None)


def post(url: str, body: object, headers: dict[str, str] | None = None) -> Answer:
    """POST as JSON."""
    return call("POST", url, body, headers)


def order_of(url: str, order_id: str) -> dict[str, Any]:
    """Return the order as it is now."""
    answer = call("GET", f"{url}/getOrderDetails?orderId={order_id}")
    assert answer.status == 200, answer.body
    return dict(answer.body)


def update(url: str, order_id: str, status: str) -> Answer:
    """POST /updateOrderStatus."""
    return post(f"{url}/updateOrderStatus", {"orderId": order_id, "status": status})


def new_order(url: str, status: str = "CREATED", customer_id: str = "customer-1") -> str:
    """Make an order in the status; return its id."""
    items = [{"name": "Burrito", "price": 8.5, "quantity": 2}]
    details = {"foodItems": items, "deliveryLocation": "Dorm 5"}
    made = post(f"{url}/createOrder", {"customer_id": customer_id, "order_details": details})
    assert made.status == 201, made.body
    assert update(url, made.body["order_id"], status).status == 200
    return str(made.body["order_id"])
