"""An orchestrator that survives its own `kill -9`: one saga, whose journal is a small SQLite file.

    .venv/bin/python docs/examples/orchestrator.py saga-1.db             # begin it, or go on with it
    .venv/bin/python docs/examples/orchestrator.py saga-2.db declined    # the card is declined: the order is cancelled
    .venv/bin/python docs/examples/orchestrator.py saga-3.db untaken     # nobody takes it: the charge is refunded, too

Kill it at any moment and start it again with the same file: the saga ends with one order, and each command has one
reply. docs/orchestrators.md says why. Before a step is sent, the journal has its bytes and the ends of the events
topic. The same bytes sent again are the same command, and its reply is behind those ends. It leaves out the lock on the
saga, and the look at the order before it calls after a rest of a day or longer.
"""

import argparse
import json
import os
import sqlite3
import sys
import time
import urllib.request
import uuid
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from addresses import address
from calls import final_answer
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.errors import KafkaError

SERVICE = address("ORDER_SERVICE", "http://127.0.0.1:3000")
BROKERS = address("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:9092")
COMMANDS = os.environ.get("KAFKA_COMMANDS_TOPIC", "order_commands")
EVENTS = os.environ.get("KAFKA_EVENTS_TOPIC", "order_events")
KEY = os.environ.get("ORDER_SERVICE_KEY")  # where the service asks who calls

SEND_AGAIN_SECONDS = 5.0  # the same bytes: harmless where the command has arrived
ASK_ANEW_SECONDS = 60.0  # with other bytes, once, and only where the reply can be gone from the log
PATIENCE_SECONDS = 180.0
GONE = "GONE"
FINAL = {400, 404}  # refused; after every other failure the same call may still succeed
ORDER = {"foodItems": [{"name": "Burrito", "price": 8.5, "quantity": 2}], "deliveryLocation": "Dorm 5"}


class Refused(Exception):
    """The rules say no to a step; the text is the reason, `code` its name."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code


class ServiceFault(Exception):
    """The service could not carry a command out. A person mends it; then the saga goes on."""


class Journal:
    """What survives a crash: the saga's id, what each step sends and how it ended."""

    def __init__(self, path: str) -> None:
        self.database = sqlite3.connect(path, isolation_level=None)
        self.database.execute("PRAGMA synchronous = FULL")  # what is written is on the disk
        self.database.execute("CREATE TABLE IF NOT EXISTS journal (name TEXT PRIMARY KEY, value TEXT NOT NULL)")

    def once(self, name: str, make: Callable[[], Any]) -> Any:
        """Return the value under the name. The first call stores what `make` returns.

        A crash between the two makes it again, so `make` must do no harm twice.
        """
        found = self.database.execute("SELECT value FROM journal WHERE name = ?", (name,)).fetchone()
        if found is not None:
            return json.loads(found[0])
        made = make()
        say(f"{name}: not in the journal yet")
        self.database.execute("INSERT INTO journal VALUES (?, ?)", (name, json.dumps(made)))
        say(f"{name}: in the journal")
        return made

    def replace(self, name: str, value: Any) -> None:
        """Put another value under the name."""
        self.database.execute("UPDATE journal SET value = ? WHERE name = ?", (json.dumps(value), name))


class Payments:
    """Stand in for a payment service that does what it is asked once under each key, as one must."""

    def __init__(self, path: str) -> None:
        self.database = sqlite3.connect(path, isolation_level=None)
        self.database.execute(
            "CREATE TABLE IF NOT EXISTS payments (key TEXT PRIMARY KEY, cents INTEGER, asked INTEGER)"
        )

    def pay(self, key: str, cents: int) -> None:
        """Charge the card; refund it where `cents` is below zero."""
        asked = "INSERT INTO payments VALUES (?, ?, 1) ON CONFLICT (key) DO UPDATE SET asked = asked + 1"
        self.database.execute(asked, (key, cents))


class Saga:
    """The steps. A step that is called again after a crash does what is left of it."""

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self.id = str(journal.once("saga", lambda: str(uuid.uuid4())))

    @cached_property
    def producer(self) -> Any:
        """The way to the commands, opened where a command is to be sent."""
        return KafkaProducer(bootstrap_servers=BROKERS, acks="all")

    @cached_property
    def consumer(self) -> Any:
        """A reader of the events, in no group: where it reads stands in the journal."""
        return KafkaConsumer(bootstrap_servers=BROKERS, auto_offset_reset="earliest", metadata_max_age_ms=10_000)

    def command(self, step: str, command_type: str, payload: Mapping[str, Any]) -> dict[str, Any]:
        """Carry out a command; return its reply's payload. Raises Refused, ServiceFault, TimeoutError, KafkaError."""
        correlation_id = f"{self.id}:{step}"  # one per step, the same whenever the step is sent
        first = {"type": command_type, "correlation_id": correlation_id, "payload": payload}
        begun = self.journal.once(f"{step} begins", lambda: self._begin(first))
        reply = self.journal.once(f"{step} ends", lambda: self._reply(step, begun))
        if "error" in reply:
            raise Refused(reply["code"], reply["error"])
        return dict(reply)

    def call(self, step: str, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """POST, and repeat under the same key while the outcome is unknown. Raises Refused and TimeoutError."""
        answer = self.journal.once(f"{step} ends", lambda: self._ask(step, path, body))
        if "error" in answer:
            raise Refused(answer["code"], answer["error"])
        return dict(answer)

    def _begin(self, command: Mapping[str, Any]) -> dict[str, Any]:
        ends = self.consumer.end_offsets(self._places())
        text = json.dumps({**command, "timestamp": datetime.now(UTC).isoformat()})
        return {"bytes": text, "ends": {str(place.partition): end for place, end in ends.items()}}

    def _begin_anew(self, step: str, begun: Mapping[str, Any]) -> dict[str, Any]:
        """Put another command with the same wish in the place of the step's. Its id is new, so its reply is its own."""
        command = json.loads(begun["bytes"])
        anew = self._begin({**command, "correlation_id": command["correlation_id"] + ":again"})
        self.journal.replace(f"{step} begins", anew)
        return anew

    def _places(self) -> set[Any]:
        """Return all partitions that there are now. One that is new is read from its beginning."""
        places = {TopicPartition(EVENTS, number) for number in self.consumer.partitions_for_topic(EVENTS)}
        if not places:
            raise TimeoutError(f"{EVENTS} has no partition yet; start me again later")
        new = places - self.consumer.assignment()
        if new:
            self.consumer.assign(sorted(places))  # the others stay where they are
            self.consumer.seek_to_beginning(*new)
        return places

    def _reply(self, step: str, begun: Mapping[str, Any]) -> dict[str, Any]:
        can_be_gone = self._can_be_gone(begun)
        reply = self._await_reply(step, begun, ASK_ANEW_SECONDS if can_be_gone else PATIENCE_SECONDS)
        if reply is None and can_be_gone:
            reply = self._seen(step, json.loads(begun["bytes"])["payload"])
            if reply is None:
                begun = self._begin_anew(step, begun)
                reply = self._await_reply(step, begun, PATIENCE_SECONDS)
        if reply is None:
            raise TimeoutError(f"{step}: no reply; start me again later")
        if reply.get("code") == "internal_error":  # nothing was done: this is no end of the step
            self._begin_anew(step, begun)
            raise ServiceFault(f"{step}: {reply['error']}; tell the service's operators, then start me again")
        return reply

    def _can_be_gone(self, begun: Mapping[str, Any]) -> bool:
        """Tell whether the log now begins behind an end in the journal."""
        beginnings = self.consumer.beginning_offsets(self._places()).items()
        return any(begun["ends"].get(str(place.partition), 0) < beginning for place, beginning in beginnings)

    def _seen(self, step: str, payload: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return what the reply would say if the order shows that the command was carried out, else None.

        Here the payment status shows it. To make the saga's order, or to cancel it, may be asked for twice.
        """
        if "payment_status" not in payload:
            return None
        order = self._ask(f"{step}:look", f"/getOrderDetails?orderId={payload['order_id']}")
        is_done = order.get("paymentStatus") == payload["payment_status"]
        return {"order_id": payload["order_id"], "status": order["orderStatus"]} if is_done else None

    def _await_reply(self, step: str, begun: Mapping[str, Any], seconds: float) -> dict[str, Any] | None:
        """Send until a reply is there; return its payload, None after so many seconds."""
        correlation_id = json.loads(begun["bytes"])["correlation_id"]
        for place in self._places():
            self.consumer.seek(place, begun["ends"].get(str(place.partition), 0))
        started, sent = time.monotonic(), -SEND_AGAIN_SECONDS
        while (waited := time.monotonic() - started) < seconds:
            if waited - sent >= SEND_AGAIN_SECONDS:
                self._send(step, begun["bytes"])
                sent = waited
            self._places()
            for records in self.consumer.poll(timeout_ms=200).values():
                for record in records:
                    event = json.loads(record.value)
                    if event.get("correlation_id") == correlation_id:
                        return dict(event["payload"])
        return None

    def _send(self, step: str, text: str) -> None:
        key = json.loads(text)["payload"].get("order_id") or self.id  # one order's commands stay in order
        try:
            self.producer.send(COMMANDS, text.encode(), key=key.encode()).get(timeout=10)
            say(f"{step}: sent")
        except KafkaError as error:  # it may have arrived all the same: the same bytes are sent again
            say(f"{step}: perhaps not sent: {error}")

    def _ask(self, step: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """POST the body, or GET where there is none."""
        name = f"{self.id}:{step}"
        headers = {"Content-Type": "application/json", "Idempotency-Key": name, "X-Correlation-ID": name}
        if KEY:
            headers["Authorization"] = f"Bearer {KEY}"
        sent = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(SERVICE + path, sent, headers)
        try:
            return final_answer(
                request, PATIENCE_SECONDS, lambda status, answer: status < 300 or (status in FINAL and "code" in answer)
            )  # the key makes it safe to ask again
        except TimeoutError as last:
            raise TimeoutError(f"{step}: {last}; start me again later") from None


def run(journal: Journal, payments: Payments, outcome: str) -> str:
    """Take the saga to its end; return the order's last status. Raises Refused if no order could be made."""
    saga, charged = Saga(journal), False
    create = {"customer_id": "customer-1", "order_details": ORDER, "saga_id": saga.id}
    order = saga.command("create", "create_order", create)["order_id"]
    try:
        if outcome == "declined":
            raise Refused("declined", "the card was declined")
        journal.once("charge", lambda: payments.pay(f"{saga.id}:charge", 1700))
        charged = True
        paid = {"order_id": order, "status": "CREATED", "payment_status": "AUTHORIZED"}
        saga.command("paid", "update_order_status", paid)
        if outcome == "untaken":
            raise Refused("untaken", "no runner took the order")
        saga.call("accept", "/verifyAndAcceptOrder", {"orderId": order, "runner_id": "runner-1"})
        return str(saga.call("complete", "/completeOrder", {"orderId": order})["order"]["orderStatus"])
    except Refused as refusal:  # nobody may work on the order any more; then the money goes back
        status = cancel(saga, order, str(refusal))
    if charged:
        journal.once("refund", lambda: payments.pay(f"{saga.id}:refund", -1700))
        if status != GONE:
            refunded = {"order_id": order, "status": status, "payment_status": "REFUNDED"}
            saga.command("refunded", "update_order_status", refunded)
    return status


def cancel(saga: Saga, order: str, reason: str) -> str:
    """Return the status in which nobody works on the order any more."""
    try:
        cancelled = saga.command("cancel", "cancel_order", {"order_id": order, "reason": reason})
    except Refused as refusal:
        if refusal.code != "order_not_found":
            raise
        return GONE  # nobody works on an order that is not there
    return str(cancelled.get("status", "CANCELLED"))  # an order that was delivered meanwhile stays so


def say(line: str) -> None:
    """Print a line at once."""
    print(line, flush=True)


def main(arguments: list[str] | None = None) -> None:
    """Begin the saga of a journal, or go on with it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("journal", help="the saga's file; it is made where it is not there yet")
    outcomes = ["paid", "declined", "untaken"]
    parser.add_argument("outcome", nargs="?", choices=outcomes, default="paid", help="what the others say; paid")
    given = parser.parse_args(arguments)
    try:
        say(run(Journal(given.journal), Payments(given.journal + "-payments"), given.outcome))
    except (Refused, ServiceFault, TimeoutError, KafkaError) as error:
        sys.exit(str(error) or repr(error))


if __name__ == "__main__":
    main()
