"""Bodies with defaults, and a caller of the HTTP door that builds orders in any status."""

import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol
from uuid import uuid4

from werkzeug.datastructures import Headers
from werkzeug.test import Client

from tests.harness.tasks import run_in_a_task, start

ITEMS = [{"name": "Burrito", "price": 8.5, "quantity": 2}]
HELD = ("ACCEPTED", "PLACED", "ON_THE_WAY", "DELIVERED", "COMPLETED")
STATUSES = ("PENDING", "CREATED", *HELD, "CANCELLED")

POSTS: dict[str, dict[str, Any]] = {
    "/createOrder": {"customer_id": "c", "order_details": {"foodItems": ITEMS, "deliveryLocation": "Dorm 5"}},
    "/testCreateOrder": {"customer_id": "c", "order_details": {"foodItems": ITEMS, "deliveryLocation": "Dorm 5"}},
    "/updateOrderStatus": {"orderId": "unknown", "status": "PLACED"},
    "/verifyAndAcceptOrder": {"orderId": "unknown", "runner_id": "r"},
    "/cancelOrder": {"orderId": "unknown"},
    "/cancelAcceptance": {"orderId": "unknown"},
    "/clearRunner": {"orderId": "unknown"},
    "/completeOrder": {"orderId": "unknown"},
}
"""Every POST endpoint with a body that has a usable shape."""

SAYS_SUCCESS = ("/createOrder", "/testCreateOrder", "/verifyAndAcceptOrder")


def unique(prefix: str = "id") -> str:
    return f"{prefix}-{uuid4().hex}"


def create_body(customer_id: str = "customer-1", **details: Any) -> dict[str, Any]:
    return {"customer_id": customer_id, "order_details": {"foodItems": ITEMS, "deliveryLocation": "Dorm 5", **details}}


def at_once(calls: list[Callable[[], Any]]) -> list[Any]:
    """Run all calls from a thread each, behind one barrier."""
    barrier = threading.Barrier(len(calls))

    def run(call: Callable[[], Any]) -> Any:
        barrier.wait(30)
        return call()

    with ThreadPoolExecutor(len(calls)) as threads:
        return list(threads.map(run, calls))


def at_once_in_tasks(calls: list[Callable[[], Any]]) -> list[Any]:
    """Run all calls as tasks of one loop, as requests are: what they ask of the database together goes in groups."""

    def run() -> list[Any]:
        started = [start(call) for call in calls]
        return [it.result() for it in started]

    return list(run_in_a_task(run))


class Answer(Protocol):
    """werkzeug's response, as far as tests look at it."""

    status_code: int
    data: bytes
    headers: Headers

    def set_data(self, value: bytes, /) -> None:
        """Have this body in place of the one that came."""

    @property
    def text(self) -> str:
        """The body as text."""

    @property
    def json(self) -> Any:
        """The body, which is JSON."""


class Caller:
    """Sends requests; one for each thread."""

    def __init__(self, client: Client) -> None:
        self._client = client

    # Whole answers, so that their ends are seen: WSGI servers close what they have sent.

    def get(self, path: str, headers: dict[str, str] | None = None, /, **query: Any) -> Answer:
        return self._client.get(path, query_string=query, headers=headers, buffered=True)

    def post(self, path: str, body: Any = None, /, **headers: str) -> Answer:
        """Send `body` as JSON; bytes go as they are. Header names are written with underscores."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self._client.post(path, data=data, headers={"Content-Type": "application/json", **named}, buffered=True)

    def create(self, body: dict[str, Any] | None = None, path: str = "/createOrder") -> str:
        answer = self.post(path, body or create_body())
        assert answer.status_code == 201, answer.text
        return str(answer.json["order_id"])

    def order(self, order_id: str) -> dict[str, Any]:
        answer = self.get("/getOrderDetails", orderId=order_id)
        assert answer.status_code == 200, answer.text
        return dict(answer.json)

    def update(self, order_id: str, status: str) -> Answer:
        return self.post("/updateOrderStatus", {"orderId": order_id, "status": status})

    def accept(self, order_id: str, runner_id: str = "runner-1") -> Answer:
        return self.post("/verifyAndAcceptOrder", {"orderId": order_id, "runner_id": runner_id})

    def clear(self, order_id: str, **named: str) -> Answer:
        return self.post("/clearRunner", {"orderId": order_id, **named})

    def new(self, status: str = "PENDING", runner_id: str = "runner-1", customer_id: str = "customer-1") -> str:
        """Make an order in `status`; from ACCEPTED to COMPLETED `runner_id` holds it."""
        order_id = self.create(create_body(customer_id))
        if status in HELD:
            self.update(order_id, "CREATED")
            assert self.accept(order_id, runner_id).status_code == 200
        if status not in ("PENDING", "ACCEPTED"):
            assert self.update(order_id, status).status_code == 200
        return order_id
