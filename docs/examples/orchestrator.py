"""An orchestrator that survives its own `kill -9`: one saga, whose journal is a small SQLite file.

    .venv/bin/python docs/examples/orchestrator.py saga-1.db             # begin it, or go on with it
    .venv/bin/python docs/examples/orchestrator.py saga-2.db declined    # the card is declined: the order is cancelled
    .venv/bin/python docs/examples/orchestrator.py saga-3.db untaken     # nobody takes it: the charge is refunded, too

Kill it at any moment and start it again with the same file: the saga ends with one order, and each command has one
reply. docs/orchestrators.md says why. Before a step is sent, the journal has its bytes and the ends of the events
topic. The same bytes sent again are the same command, and its reply is behind those ends.
"""

import argparse
import json
import os
import sqlite3
import sys
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from addresses import address
from kafka import KafkaConsumer, KafkaProducer, TopicPartition

SERVICE = address("ORDER_SERVICE", "http://127.0.0.1:3000")
BROKERS = address("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:9092")
COMMANDS = os.environ.get("KAFKA_COMMANDS_TOPIC", "order_commands")
EVENTS = os.environ.get("KAFKA_EVENTS_TOPIC", "order_events")
KEY = os.environ.get("ORDER_SERVICE_KEY")  # where the service asks who calls

SEND_AGAIN_SECONDS = 5.0  # the same bytes: harmless where the command has arrived
ASK_ANEW_SECONDS = 60.0  # with other bytes, for a reply that is no longer in the log
PATIENCE_SECONDS = 180.0
FINAL = {400, 404}  # refused; after every other failure the same call may still succeed
ORDER = {"foodItems": [{"name": "Burrito", "price": 8.5, "quantity": 2}], "deliveryLocation": "Dorm 5"}


class Refused(Exception):
    """A step was refused; the text is the reason."""


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
        """A reader of all partitions of the events, in no group: where it reads stands in the journal."""
        consumer = KafkaConsumer(bootstrap_servers=BROKERS, auto_offset_reset="earliest")
        consumer.assign([TopicPartition(EVENTS, number) for number in consumer.partitions_for_topic(EVENTS)])
        return consumer

    def command(self, step: str, command_type: str, payload: Mapping[str, Any]) -> dict[str, Any]:
        """Carry out a command; return its reply's payload. Raises Refused, and TimeoutError after PATIENCE_SECONDS."""
        correlation_id = f"{self.id}:{step}"  # one per step, the same whenever the step is sent
        first = {"type": command_type, "correlation_id": correlation_id, "payload": payload}
        begun = self.journal.once(f"{step} begins", lambda: self._begin(first))
        reply = self.journal.once(f"{step} ends", lambda: self._await_reply(step, begun, correlation_id))
        if "error" in reply["payload"]:
            raise Refused(reply["payload"]["error"])
        return dict(reply["payload"])

    def call(self, step: str, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """POST, and repeat under the same key while the outcome is unknown. Raises Refused and TimeoutError."""
        answer = self.journal.once(f"{step} ends", lambda: self._post(step, path, body))
        if "error" in answer:
            raise Refused(answer["error"])
        return dict(answer)

    def _begin(self, command: Mapping[str, Any]) -> dict[str, Any]:
        ends = self.consumer.end_offsets(self.consumer.assignment())
        text = json.dumps({**command, "timestamp": datetime.now(UTC).isoformat()})
        return {"bytes": text, "ends": {str(place.partition): end for place, end in ends.items()}}

    def _await_reply(self, step: str, begun: Mapping[str, Any], correlation_id: str) -> dict[str, Any]:
        for place in self.consumer.assignment():  # a new partition is read from its beginning
            self.consumer.seek(place, begun["ends"].get(str(place.partition), 0))
        started, sent = time.monotonic(), -SEND_AGAIN_SECONDS
        while (waited := time.monotonic() - started) < PATIENCE_SECONDS:
            if waited - sent >= SEND_AGAIN_SECONDS:
                self._send(begun["bytes"], waited)
                sent = waited
                say(f"{step}: sent")
            for records in self.consumer.poll(timeout_ms=200).values():
                for record in records:
                    event = json.loads(record.value)
                    if event.get("correlation_id") == correlation_id:
                        return dict(event)
        raise TimeoutError(f"{step}: no reply; start me again later")

    def _send(self, text: str, waited: float) -> None:
        command = json.loads(text)
        if waited >= ASK_ANEW_SECONDS:
            # Its reply is no longer in the log. With another timestamp it is another command, and answered again.
            text = json.dumps({**command, "timestamp": datetime.now(UTC).isoformat()})
        key = command["payload"].get("order_id") or self.id  # one order's commands stay in order
        self.producer.send(COMMANDS, text.encode(), key=key.encode()).get(timeout=10)

    def _post(self, step: str, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        name = f"{self.id}:{step}"
        headers = {"Content-Type": "application/json", "Idempotency-Key": name, "X-Correlation-ID": name}
        if KEY:
            headers["Authorization"] = f"Bearer {KEY}"
        request = urllib.request.Request(SERVICE + path, json.dumps(body).encode(), headers)
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            pause = 0.5
            try:
                with urllib.request.urlopen(request, timeout=5) as answer:
                    return dict(json.load(answer))
            except urllib.error.HTTPError as error:
                if error.code in FINAL:
                    return dict(json.load(error))
                pause, last = float(error.headers.get("Retry-After", pause)), str(error)
            except OSError as error:
                last = str(error)  # no answer: the key makes it safe to ask again
            if time.monotonic() + pause > deadline:
                raise TimeoutError(f"{step}: {last}; start me again later")
            time.sleep(pause)


def run(journal: Journal, payments: Payments, outcome: str) -> str:
    """Take the saga to its end; return the order's last status. Raises Refused if no order could be made."""
    saga, charged = Saga(journal), False
    create = {"customer_id": "customer-1", "order_details": ORDER, "saga_id": saga.id}
    order = saga.command("create", "create_order", create)["order_id"]
    try:
        if outcome == "declined":
            raise Refused("the card was declined")
        journal.once("charge", lambda: payments.pay(f"{saga.id}:charge", 1700))
        charged = True
        paid = {"order_id": order, "status": "CREATED", "payment_status": "AUTHORIZED"}
        saga.command("paid", "update_order_status", paid)
        if outcome == "untaken":
            raise Refused("no runner took the order")
        saga.call("accept", "/verifyAndAcceptOrder", {"orderId": order, "runner_id": "runner-1"})
        return str(saga.call("complete", "/completeOrder", {"orderId": order})["order"]["orderStatus"])
    except Refused as refusal:  # nobody may work on the order any more; then the money goes back
        cancelled = saga.command("cancel", "cancel_order", {"order_id": order, "reason": str(refusal)})
    status = cancelled.get("status", "CANCELLED")  # an order that was delivered meanwhile stays so
    if charged:
        journal.once("refund", lambda: payments.pay(f"{saga.id}:refund", -1700))
        refunded = {"order_id": order, "status": status, "payment_status": "REFUNDED"}
        saga.command("refunded", "update_order_status", refunded)
    return str(status)


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
    except (Refused, TimeoutError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
