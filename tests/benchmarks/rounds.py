"""Rounds of HTTP calls to one service: the figures of each, and what must be there afterwards."""

import json
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tests.benchmarks.bench import Bench, Served
from tests.benchmarks.check import Announced, event_differs, order_differs, require
from tests.benchmarks.load import CONNECTIONS, Answers, Load, run
from tests.benchmarks.measure import Meter, Sample, peak_memory
from tests.benchmarks.topics import appended

COMPARED = 20
ON_THE_TOPIC = "until the event is on the topic"
DETAILS = {
    "foodItems": [{"name": "Burrito", "price": 8.5, "quantity": 2}, {"name": "Lemonade", "price": 2.75, "quantity": 1}],
    "storeLocation": "Food court",
    "deliveryLocation": "Library",
    "deliveryFee": 2.99,
}
CREATE = Load("POST", "/createOrder", 201, json.dumps({"customer_id": "customer-@", "order_details": DETAILS}))
ALL = "SELECT count(*) FROM orders"


@dataclass
class Writes:
    """Rounds of one kind of write. `changed` is the SQL that counts what it has done so far.

    Each answer must be a row and an event. Not `relayed`: the events stay in the outbox, where they are judged.
    """

    bench: Bench
    served: Served
    load: Load
    event_type: str
    changed: str = ALL
    relayed: bool = True
    connections: int = CONNECTIONS

    def __call__(self, seconds: float) -> dict[str, Sample]:
        """Measure one round: by its answers and, where it is relayed, by its events."""
        served, database = self.served, self.served.database
        before = database.number(self.changed)
        with Meter(served, self.bench.postgres) as meter:
            answers = run(self.load, served.port, seconds, self.connections)
            if self.relayed:
                served.events.await_count(answers.count)
                database.settle()
        self.load = self.load.after(answers)
        rows = database.number(self.changed) - before
        require(rows == answers.count, f"{served.name}: {rows} rows for {answers.count} answers")
        common = _about(answers, served) | meter.for_each(answers.count)
        found = {served.name: Sample(rate=answers.count / answers.seconds, **common)}
        if not self.relayed:
            self._judge_outbox(answers.count)
            return found
        _, last = appended(self._judge_topic(answers.count))
        rate = answers.count / (max(last, answers.ended) - answers.began)
        return found | {f"{served.name}, {ON_THE_TOPIC}": Sample(rate=rate, **common)}

    def _judge_topic(self, count: int) -> list[Any]:
        records = self.served.events.take(count)
        some = records[:: max(len(records) // COMPARED, 1)]
        self._compare([Announced(dict(it.headers)["event_id"].decode(), it.key.decode(), it.value) for it in some])
        return records

    def _judge_outbox(self, count: int) -> None:
        database = self.served.database
        ids = database.number("SELECT count(DISTINCT event_id) FROM outbox")
        require(ids == count, f"{self.served.name}: {ids} events for {count} answers")
        some = "SELECT event_id::text, aggregateid, payload FROM outbox ORDER BY random() LIMIT %s"
        rows = database.rows(some, COMPARED)
        self._compare([Announced(event_id, order_id, bytes(value)) for event_id, order_id, value in rows])
        database.rows("TRUNCATE outbox")

    def _compare(self, events: Sequence[Announced]) -> None:
        orders = self.served.database.orders([event.order_id for event in events])
        for event in events:
            require(event.order_id in orders, f"{self.served.name}: an event of {event.order_id}, which is not there")
            differs = event_differs(event, orders[event.order_id], self.event_type)
            require(not differs, f"{self.served.name}: the event of {event.order_id} differs: {differs}")


@dataclass
class Reads:
    """Rounds of one kind of read, over so many connections; `name` is what the table calls them."""

    bench: Bench
    served: Served
    load: Load
    name: str
    connections: int = CONNECTIONS
    most_seconds: float = 60.0

    def __call__(self, seconds: float) -> dict[str, Sample]:
        """Measure one round."""
        with Meter(self.served, self.bench.postgres) as meter:
            answers = run(self.load, self.served.port, min(seconds, self.most_seconds), self.connections)
        self.load = self.load.after(answers)
        figures = _about(answers, self.served) | meter.for_each(answers.count)
        return {self.name: Sample(rate=answers.count / answers.seconds, **figures)}


def _about(answers: Answers, served: Served) -> dict[str, float | None]:
    return {"p50": answers.p50, "p99": answers.p99, "memory": peak_memory(served)}


def get(served: Served, path: str, credential: str = "") -> Any:
    """Return the JSON that the service answers. Raises OSError."""
    headers = {"Authorization": f"Bearer {credential}"} if credential else {}
    asked = urllib.request.Request(f"http://127.0.0.1:{served.port}{path}", headers=headers)
    with urllib.request.urlopen(asked, timeout=30) as answer:
        return json.loads(answer.read())


def require_order(served: Served, order_id: str, credential: str = "") -> None:
    """Raise Wrong unless the service shows the order as its row is."""
    row = served.database.orders([order_id])[order_id]
    differs = order_differs(get(served, f"/getOrderDetails?orderId={order_id}", credential), row)
    require(not differs, f"{served.name}: the order {order_id} differs: {differs}")


def require_page(served: Served, path: str, where: str, values: Sequence[str], page: int, limit: int) -> None:
    """Raise Wrong unless the page has the orders and the total that SQL finds."""
    found = get(served, path)
    ids = served.database.rows(
        f"SELECT order_id FROM orders WHERE {where} ORDER BY created_at DESC, order_id DESC LIMIT %s OFFSET %s",
        *values,
        limit,
        (page - 1) * limit,
    )
    total = served.database.number(f"SELECT count(*) FROM orders WHERE {where}", *values)
    require(found["total"] == total, f"{served.name} {path}: total {found['total']}, there are {total}")
    shown = [item["orderId"] for item in found["items"]]
    require(shown == [order_id for (order_id,) in ids], f"{served.name} {path}: not the orders of this page")
    require(bool(shown), f"{served.name} {path}: an empty page proves nothing")
