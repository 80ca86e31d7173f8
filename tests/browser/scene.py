"""What happened to some orders before a test looks at them: everything came through the service's own doors."""

import json
import urllib.error
import urllib.request
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any
from uuid import uuid4

from kafka import KafkaProducer

from app.config.config import Settings
from app.models.jobs import CHECK
from app.operations import dead_letter_groups, jobs
from app.operations.audit import Operator
from tests.harness.builders import create_body
from tests.harness.found import query
from tests.harness.stack import Stack
from tests.harness.waiting import until
from tests.harness.world import details

GIVES_UP_SECONDS = 5.0
PATIENCE_SECONDS = 20.0


def command(kind: str, saga_id: str, /, **payload: object) -> bytes:
    """Return a command as an orchestrator writes it."""
    sent_at = datetime.now(UTC).replace(tzinfo=None).isoformat()
    body = {"type": kind, "correlation_id": saga_id, "timestamp": sent_at, "payload": payload}
    return json.dumps(body).encode()


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back over HTTP."""

    status: int
    body: Any


class Scene:
    """A running service, and the orders in it. `close` ends its clients."""

    def __init__(self, stack: Stack, key: str) -> None:
        self.stack, self.key = stack, key
        self.url = stack.instances[0].url
        self.saga = f"saga-{uuid4()}"
        self.told = ""
        """The order that has a history of every kind; `saga` made it."""
        self.letter = self.given_up = self.job = 0
        self.taken_out = ""
        self._headers = {"Content-Type": "application/json", "Authorization": f"Bearer {key}"}

    @cached_property
    def _producer(self) -> KafkaProducer:
        return KafkaProducer(bootstrap_servers=self.stack.broker.bootstrap, acks="all")

    def close(self) -> None:
        """Close the producer, if it was used."""
        if "_producer" in self.__dict__:
            self._producer.close()

    # The doors

    def post(self, path: str, body: object, **headers: str) -> Answer:
        """Send JSON; return the answer, whatever its status."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        data = json.dumps(body).encode()
        asked = urllib.request.Request(self.url + path, data, self._headers | named)
        try:
            with urllib.request.urlopen(asked, timeout=GIVES_UP_SECONDS) as answer:
                return Answer(answer.status, json.loads(answer.read()))
        except urllib.error.HTTPError as refusal:
            with refusal:
                return Answer(refusal.code, json.loads(refusal.read()))

    def send(self, *values: bytes, key: str | None = None, traceparent: str | None = None) -> list[Any]:
        """Put records on the topic of the commands; return their places once all of them are handled."""
        named = {
            "key": None if key is None else key.encode(),
            "headers": [] if traceparent is None else [("traceparent", traceparent.encode())],
        }
        sent = [self._producer.send(self.stack.commands_topic, value, **named) for value in values]
        places = [future.get(timeout=20) for future in sent]
        ends = {place.partition: place.offset for place in places}
        until(lambda: all(self._next(at) > end for at, end in ends.items()), "the commands handled", PATIENCE_SECONDS)
        return places

    def settle(self) -> None:
        """Wait until everything that the commands and calls caused is with Kafka."""
        waiting = "SELECT (SELECT count(*) FROM outbox) + (SELECT count(*) FROM dead_letters WHERE sent_at IS NULL)"
        until(lambda: self.query(waiting) == [(0,)], "nothing waits for Kafka", PATIENCE_SECONDS)

    def query(self, statement: str, parameters: list[Any] | None = None) -> list[tuple[Any, ...]]:
        """Return the rows of a statement."""
        return query(self.stack.database_url, statement, parameters or [])

    def _next(self, partition: int) -> int:
        """Return the offset of the command that is handled next."""
        stored = "SELECT next_offset FROM consumer_offsets WHERE topic = %s AND partition = %s"
        found = self.query(stored, [self.stack.commands_topic, partition])
        return int(found[0][0]) if found else 0

    # Orders

    def order(self, status: str = "PENDING", customer: str = "customer-1") -> str:
        """Have an order made over HTTP that has the status; return its id."""
        order_id = str(self.post("/createOrder", create_body(customer)).body["order_id"])
        if status != "PENDING":
            self.move(order_id, status)
        return order_id

    def move(self, order_id: str, status: str) -> None:
        """Have the order's status set over HTTP."""
        answer = self.post("/updateOrderStatus", {"orderId": order_id, "status": status})
        assert answer.status == 200, answer

    def state(self, order_id: str) -> tuple[str, int]:
        """Return status and version of the order as its row has them."""
        found = self.query("SELECT order_status, version FROM orders WHERE order_id = %s", [order_id])
        return str(found[0][0]), int(found[0][1])

    def spoiled(self, *, like: str = "no JSON") -> int:
        """Put a record on the topic that nobody can read; return the id of its dead letter."""
        (place,) = self.send(f"{like} {uuid4()}".encode(), key="spoiled")
        found = 'SELECT id FROM dead_letters WHERE partition = %s AND "offset" = %s'
        return int(self.query(found, [place.partition, place.offset])[0][0])

    def resolution(self, letter: int) -> str | None:
        """Return what was decided about a dead letter."""
        found = self.query("SELECT resolution FROM dead_letters WHERE id = %s", [letter])
        return None if found[0][0] is None else str(found[0][0])

    def group(self) -> str:
        """Return the id of the group of those that nobody can read."""
        settings = Settings.load(self.stack.settings)
        return next(group.id for group in dead_letter_groups.groups(settings) if group.type is None)

    def give_up(self) -> int:
        """Have a command among those that were given up: it takes a fault of the service to come there."""
        columns = 'event_id, topic, partition, "offset", key, value, type, correlation_id, error'
        values = "gen_random_uuid(), %s, 0, 17, 'k', '{}', 'cancel_order', 'saga-17', 'ZeroDivisionError'"
        statement = f"INSERT INTO given_up_commands ({columns}) VALUES ({values}) RETURNING id"
        return int(self.query(statement, [self.stack.commands_topic])[0][0])

    def take_out(self) -> str:
        """Have an event among those that were taken out of the outbox, and put back: Kafka must refuse one for that."""
        columns = (
            "event_id, outbox_id, aggregateid, type, correlation_id, version, payload, refusal, created_at, put_back_at"
        )
        values = "gen_random_uuid(), 1, %s, 'ORDER_CREATED', 'c', 1, '{}', 'too large', now(), now()"
        statement = f"INSERT INTO taken_out_events ({columns}) VALUES ({values}) RETURNING event_id"
        return str(self.query(statement, [self.told])[0][0])

    def play(self) -> None:
        """Have it happen: an order that a saga makes, one runner gets and another does not, repeats, refusals."""
        saga, trace = self.saga, f"00-{uuid4().hex}-{uuid4().hex[:16]}-01"
        create = command("create_order", saga, customer_id="customer-42", order_details=details(), saga_id=saga)
        self.send(create, key=saga, traceparent=trace)
        self.told = str(self.query("SELECT order_id FROM saga_orders WHERE saga_id = %s", [saga])[0][0])
        told = {"order_id": self.told}
        paid = {"status": "CREATED", "payment_status": "AUTHORIZED"}
        self.send(command("update_order_status", saga, **told, **paid), key=self.told, traceparent=trace)
        accept = {"orderId": self.told, "runner_id": "runner-7"}
        assert self.post("/verifyAndAcceptOrder", accept, Idempotency_Key=f"accept-{self.told}").status == 200
        assert self.post("/verifyAndAcceptOrder", accept | {"runner_id": "runner-9"}).status == 400
        placed = command("update_order_status", saga, **told, status="PLACED")
        self.send(placed, key=self.told)
        self.send(placed, key=self.told)  # the same bytes
        self.send(command("update_order_status", saga, **told, status="ON_THE_WAY"), key=self.told)
        self.send(command("update_order_status", saga, **told, status="ON_THE_WAY"), key=self.told)  # it is so already
        missing = command("update_order_status", f"saga-{uuid4()}", order_id="no-such-order", status="PLACED")
        self.send(missing, key="no-such-order")
        done = self.order("COMPLETED")
        self.send(command("update_order_status", f"saga-{uuid4()}", order_id=done, status="PLACED"), key=done)
        for status in ("PENDING", "CREATED", "PLACED"):
            self.order(status)
        self.letter = self.spoiled()
        self.given_up = self.give_up()
        self.taken_out = self.take_out()
        operator = Operator(Settings.load(self.stack.settings), "alice")
        self.job = jobs.start(operator, CHECK, reason="after the story")
        self.settle()
