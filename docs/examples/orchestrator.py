"""An orchestrator that survives its own `kill -9`: one saga, whose journal is a small SQLite file.

    .venv/bin/python docs/examples/orchestrator.py saga-1.db              # begin it, or go on with it
    .venv/bin/python docs/examples/orchestrator.py saga-1.db --declined   # the payment is declined: cancel

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
from typing import Any

from addresses import address
from kafka import KafkaConsumer, KafkaProducer, TopicPartition

SERVICE = address("ORDER_SERVICE", "http://127.0.0.1:3000")
BROKERS = address("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:9092")
COMMANDS = os.environ.get("KAFKA_COMMANDS_TOPIC", "order_commands")
EVENTS = os.environ.get("KAFKA_EVENTS_TOPIC", "order_events")

SEND_AGAIN_SECONDS = 5.0  # the same bytes: harmless where the command has arrived
ASK_ANEW_SECONDS = 60.0  # with other bytes, for a reply that is no longer in the log
PATIENCE_SECONDS = 180.0
ORDER = {"foodItems": [{"name": "Burrito", "price": 8.5, "quantity": 2}], "deliveryLocation": "Dorm 5"}


class Refused(Exception):
    """A step was refused; the text is the reason."""


class Journal:
    """What survives a crash: the saga's id, what each step sent and how it ended. `once` writes to the disk."""

    def __init__(self, path: str) -> None:
        self.database = sqlite3.connect(path, isolation_level=None)
        self.database.execute("PRAGMA synchronous = FULL")
        self.database.execute("CREATE TABLE IF NOT EXISTS journal (name TEXT PRIMARY KEY, value TEXT NOT NULL)")

    def once(self, name: str, make: Callable[[], Any]) -> Any:
        """Return the value under the name. The first call stores what `make` returns."""
        found = self.database.execute("SELECT value FROM journal WHERE name = ?", (name,)).fetchone()
        if found is None:
            made = make()
            self.database.execute("INSERT INTO journal VALUES (?, ?)", (name, json.dumps(made)))
            return made
        return json.loads(found[0])


class Saga:
    """The steps. A step that is called again after a crash does what is left of it."""

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self.id = str(journal.once("saga", lambda: str(uuid.uuid4())))
        self.producer = KafkaProducer(bootstrap_servers=BROKERS, acks="all")
        self.consumer = KafkaConsumer(bootstrap_servers=BROKERS, auto_offset_reset="earliest")
        self.places = [TopicPartition(EVENTS, number) for number in self.consumer.partitions_for_topic(EVENTS)]
        self.consumer.assign(self.places)

    def command(self, step: str, command_type: str, payload: Mapping[str, Any], success: str) -> dict[str, Any]:
        """Carry out a command; return its reply's payload. Raises Refused, and TimeoutError after PATIENCE_SECONDS."""
        correlation_id = f"{self.id}:{step}"  # one per step, the same whenever the step is sent
        first = {"type": command_type, "correlation_id": correlation_id, "payload": payload}
        begun = self.journal.once(f"{step} begins", lambda: self._begin(first))
        say(f"{step}: in the journal")
        reply = self.journal.once(f"{step} ends", lambda: self._await_reply(step, begun, correlation_id))
        say(f"{step}: {reply['type']}")
        if reply["type"] != success:
            raise Refused(reply["payload"]["error"])
        return dict(reply["payload"])

    def call(self, step: str, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """POST, and repeat under the same key while the outcome is unknown. Raises Refused and TimeoutError."""
        answer = self.journal.once(f"{step} ends", lambda: self._post(step, path, body))
        say(f"{step}: {answer.get('message', answer.get('error'))}")
        if "error" in answer:
            raise Refused(answer["error"])
        return dict(answer)

    def _begin(self, command: Mapping[str, Any]) -> dict[str, Any]:
        ends = self.consumer.end_offsets(self.places)
        text = json.dumps({**command, "timestamp": datetime.now(UTC).isoformat()})
        return {"bytes": text, "ends": {str(place.partition): end for place, end in ends.items()}}

    def _await_reply(self, step: str, begun: Mapping[str, Any], correlation_id: str) -> dict[str, Any]:
        for place in self.places:  # a new partition is read from its beginning
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
        if waited >= ASK_ANEW_SECONDS:
            # Its reply is no longer in the log. With another timestamp it is another command, and answered again.
            text = json.dumps({**json.loads(text), "timestamp": datetime.now(UTC).isoformat()})
        self.producer.send(COMMANDS, text.encode()).get(timeout=10)

    def _post(self, step: str, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        name = f"{self.id}:{step}"
        headers = {"Content-Type": "application/json", "Idempotency-Key": name, "X-Correlation-ID": name}
        request = urllib.request.Request(SERVICE + path, json.dumps(body).encode(), headers)
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            try:
                with urllib.request.urlopen(request, timeout=5) as answer:
                    return dict(json.load(answer))
            except urllib.error.HTTPError as error:
                if error.code < 500 and error.code != 409:
                    return dict(json.load(error))
            except OSError:
                pass  # no answer: the key makes it safe to ask again
            time.sleep(0.5)
        raise TimeoutError(f"{step}: no answer; start me again later")


def authorize(journal: Journal, order_id: str, *, declined: bool) -> None:
    """Stand in for the payment service, which needs a key of its own for the same reasons. Raises Refused."""
    if journal.once("payment", lambda: not declined) is False:
        raise Refused(f"the card for order {order_id} was declined")
    say("payment: authorized")


def run(journal: Journal, *, declined: bool) -> str:
    """Take the saga to its end; return the order's last status."""
    saga = Saga(journal)
    create = {"customer_id": "customer-1", "order_details": ORDER, "saga_id": saga.id}
    order_id = saga.command("create", "create_order", create, "order.created")["order_id"]
    try:
        authorize(journal, order_id, declined=declined)
        paid = {"order_id": order_id, "status": "CREATED", "payment_status": "AUTHORIZED"}
        saga.command("paid", "update_order_status", paid, "order.status_updated")
        saga.call("accept", "/verifyAndAcceptOrder", {"orderId": order_id, "runner_id": "runner-1"})
        done = saga.call("complete", "/completeOrder", {"orderId": order_id})
        return str(done["order"]["orderStatus"])
    except Refused as refusal:
        why = str(refusal)
        cancel = {"order_id": order_id, "reason": journal.once("reason", lambda: why)}
        saga.command("cancel", "cancel_order", cancel, "order.cancelled")  # succeeds in every status of the order
        return "CANCELLED"


def say(line: str) -> None:
    """Print a line at once."""
    print(line, flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("journal", help="the saga's file; it is made where it is not there yet")
    parser.add_argument("--declined", action="store_true", help="the payment service declines the card")
    arguments = parser.parse_args()
    try:
        say(run(Journal(arguments.journal), declined=arguments.declined))
    except (Refused, TimeoutError) as error:
        sys.exit(str(error))
