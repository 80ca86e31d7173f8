"""HTTP clients that behave like callers: paced, on keep-alive connections, asking again where they got no answer."""

import http.client
import json
import random
import threading
import time
import uuid
from collections import deque
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Self

from tests.harness.history import FAIL, INFO, OK, History, Operation

TIMEOUT_SECONDS = 6.0
TRIES = 40
PAUSE_SECONDS = 0.1
SENT_AGAIN = 0.3
GIVEN_UP_SHARE = 0.05
GIVEN_UP = "given up"  # what `lost` says where the client itself hung up
WRITES = ("create", "create_test", "update", "accept", "cancel", "complete")
PATHS = {
    "create": "/createOrder",
    "create_test": "/testCreateOrder",
    "update": "/updateOrderStatus",
    "accept": "/verifyAndAcceptOrder",
    "cancel": "/cancelOrder",
    "complete": "/completeOrder",
}
_SHARES = {"create": 30, "create_test": 3, "update": 30, "accept": 20, "cancel": 5, "complete": 7, "get": 12, "list": 1}
_STATUSES = ("CREATED", "CREATED", "CREATED", "PLACED", "ON_THE_WAY", "DELIVERED", "PENDING")
ORDER_DETAILS = {
    "foodItems": [{"name": "Soup", "price": 4.5, "quantity": 2}],
    "deliveryLocation": "Dorm 1",
    "deliveryFee": 2.5,
}


class Connection:
    """A keep-alive connection to one of several instances; it moves on to the next where it fails."""

    def __init__(self, ports: Sequence[int], first: int = 0) -> None:
        self._ports = ports
        self._turn = first
        self._wire: http.client.HTTPConnection | None = None
        self.lost: str | None = None

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any] | None:
        """Return status and decoded body, None where no answer came; `lost` then names why."""
        self.lost = None
        try:
            answer = self._send(method, path, body, headers).getresponse()
            return answer.status, json.loads(answer.read())
        except (OSError, http.client.HTTPException) as error:
            self.lost = type(error).__name__
            self.close()
            self._turn += 1
            return None

    def give_up(self, method: str, path: str, body: Any, **headers: str) -> None:
        """Send, and hang up without waiting for the answer."""
        self.lost = GIVEN_UP
        with suppress(OSError, http.client.HTTPException):
            self._send(method, path, body, headers)
        self.close()

    def _send(self, method: str, path: str, body: Any, headers: Mapping[str, str]) -> http.client.HTTPConnection:
        if self._wire is None:
            port = self._ports[self._turn % len(self._ports)]
            self._wire = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_SECONDS)
        sent = None if body is None else json.dumps(body)
        self._wire.request(method, path, sent, {"Content-Type": "application/json", **headers})
        return self._wire

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection; the next call opens a new one."""
        if self._wire is not None:
            self._wire.close()
            self._wire = None


@dataclass
class KnownOrders:
    """Order ids that the clients share, the newest ones: only these are worth a race."""

    recent: deque[str] = field(default_factory=lambda: deque(maxlen=60))

    def add(self, order_id: str) -> None:
        """Let everybody know an order."""
        self.recent.append(order_id)

    def any(self, rng: random.Random) -> str | None:
        """Return one of them, None before the first."""
        snapshot = list(self.recent)
        return rng.choice(snapshot) if snapshot else None


class HttpClient(threading.Thread):
    """One caller with a seed of its own; ends soon after `stop` is set."""

    def __init__(
        self,
        name: str,
        ports: Sequence[int],
        known: KnownOrders,
        history: History,
        seed: int,
        per_second: float,
        without: Collection[str] = (),
    ) -> None:
        super().__init__(name=name, daemon=True)
        self._rng = random.Random(f"{seed}-{name}")
        self._connection = Connection(ports, first=self._rng.randrange(len(ports)))
        self._known = known
        self._history = history
        self._per_second = per_second
        self._shares = {f: share for f, share in _SHARES.items() if f not in without}
        self.stop = threading.Event()

    def run(self) -> None:
        """Do one thing after the other at the pace; a slow answer is made up for, at most a second of it."""
        due = time.monotonic()
        while not self.stop.wait(max(due - time.monotonic(), 0)):
            self._one()
            due = max(due + 1 / self._per_second, time.monotonic() - 1)
        self._connection.close()

    def _one(self) -> None:
        f = self._rng.choices(list(self._shares), list(self._shares.values()))[0]
        order_id = self._known.any(self._rng)
        if f == "list":
            self._list()
        elif f == "get" and order_id is not None:
            self._get(order_id)
        elif f in ("create", "create_test") or order_id is None:
            self._write("create" if f == "get" or f not in PATHS or order_id is None else f, None)
        else:
            self._write(f, order_id)

    def _list(self) -> None:
        found = self._connection.call("GET", "/orders?limit=5&status=pending")
        if found is not None and found[0] == 200:
            for order in found[1]["items"]:
                self._known.add(order["orderId"])

    def _get(self, order_id: str) -> None:
        started = time.monotonic()
        found = self._connection.call("GET", f"/getOrderDetails?orderId={order_id}")
        self._record("get", order_id, {}, started, found)

    def _write(self, f: str, order_id: str | None) -> None:
        attempt = uuid.UUID(int=self._rng.getrandbits(128), version=4).hex
        body, value = _body(f, order_id, attempt, self._rng)
        sends = 2 if self._rng.random() < SENT_AGAIN else 1
        value |= {"attempt": attempt}
        if self._rng.random() < GIVEN_UP_SHARE:
            self._give_up(f, order_id or attempt, body, value)
            return
        for _ in range(sends):
            answer = self._until_answered(f, order_id or attempt, body, value)
        if answer is not None and answer[0] == 201:
            self._known.add(answer[1]["order_id"])

    def _until_answered(self, f: str, key: str, body: Any, value: dict[str, Any]) -> tuple[int, Any] | None:
        for _ in range(TRIES):
            correlation_id = uuid.UUID(int=self._rng.getrandbits(128), version=4).hex
            headers = {"Idempotency-Key": value["attempt"], "X-Correlation-ID": correlation_id}
            started = time.monotonic()
            answer = self._connection.call("POST", PATHS[f], body, **headers)
            outcome = self._record(f, key, value | {"correlation_id": correlation_id}, started, answer)
            if outcome != INFO:
                return answer
            if self.stop.wait(PAUSE_SECONDS):
                return None
        return None

    def _give_up(self, f: str, key: str, body: Any, value: dict[str, Any]) -> None:
        correlation_id = uuid.UUID(int=self._rng.getrandbits(128), version=4).hex
        headers = {"Idempotency-Key": value["attempt"], "X-Correlation-ID": correlation_id}
        started = time.monotonic()
        self._connection.give_up("POST", PATHS[f], body, **headers)
        self._record(f, key, value | {"correlation_id": correlation_id}, started, None)

    def _record(self, f: str, key: str, value: dict[str, Any], started: float, answer: tuple[int, Any] | None) -> str:
        status, body = (None, None) if answer is None else answer
        outcome = outcome_of(status)
        value = value | {"status": status, "answer": body, "lost": self._connection.lost}
        self._history.add(Operation(self.name, f, key, value, started, time.monotonic(), outcome))
        return outcome


def outcome_of(status: int | None) -> str:
    """What a caller knows after an HTTP status: 409 and 5xx mean ask again."""
    if status is None or status == 409 or status >= 500:
        return INFO
    return OK if status < 400 else FAIL


def _body(f: str, order_id: str | None, attempt: str, rng: random.Random) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the body of a request, and what of it the history should show."""
    if f in ("create", "create_test"):
        return {"customer_id": f"customer-{rng.randrange(50)}", "order_details": ORDER_DETAILS}, {}
    body: dict[str, Any] = {"orderId": order_id}
    if f == "update":
        body["status"] = rng.choice(_STATUSES)
    if f == "accept":
        body["runner_id"] = f"runner-{attempt}"
        return body, {"runner": body["runner_id"]}
    return body, {}


@contextmanager
def http_load(
    ports: Sequence[int],
    known: KnownOrders,
    history: History,
    seed: int,
    per_second: float,
    clients: int = 8,
    without: Collection[str] = (),
) -> Iterator[None]:
    """Clients at work, together at `per_second` wishes, while the body runs. `without`: what they never do."""
    threads = [
        HttpClient(f"http-{number}", ports, known, history, seed, per_second / clients, without)
        for number in range(clients)
    ]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        for thread in threads:
            thread.stop.set()
        for thread in threads:
            thread.join(2 * TIMEOUT_SECONDS)
