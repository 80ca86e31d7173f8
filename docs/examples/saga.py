"""A saga orchestrator in one file: create, authorize, accept, complete, and cancel where the payment is declined.

Run it against `make run`:

    .venv/bin/python docs/examples/saga.py            # the good way
    .venv/bin/python docs/examples/saga.py declined   # the payment is declined: the order is cancelled

An orchestrator relies on one reply per command, found by the command's correlation id, and on HTTP calls that may be
repeated under one Idempotency-Key, because the key makes them happen once. This one keeps no journal: when it is
killed, its saga stays unfinished. docs/examples/orchestrator.py goes on after a crash.
"""

import argparse
import json
import os
import time
import urllib.error
import urllib.request
import uuid
from datetime import UTC, datetime
from typing import Any

from addresses import address
from kafka import KafkaConsumer, KafkaProducer, TopicPartition

SERVICE = address("ORDER_SERVICE", "http://127.0.0.1:3000")
BROKERS = address("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:9092")
COMMANDS = os.environ.get("KAFKA_COMMANDS_TOPIC", "order_commands")
EVENTS = os.environ.get("KAFKA_EVENTS_TOPIC", "order_events")
REPLY_SECONDS = 30.0
TRIES = 5


class Refused(Exception):
    """The order service said no; the text is its reason."""


class OrderSaga:
    """One saga. Each step has a correlation id of its own, which begins with the saga's id.

    A notification service keeps one record per correlation id and type: two status updates under one id would be one.
    """

    def __init__(self) -> None:
        self.id = str(uuid.uuid4())
        self.steps = 0
        self.producer = KafkaProducer(bootstrap_servers=BROKERS)
        self.consumer = KafkaConsumer(bootstrap_servers=BROKERS)
        # Reads from the ends of the log as they are before the first command, so no reply can be missed.
        places = [TopicPartition(EVENTS, partition) for partition in self.consumer.partitions_for_topic(EVENTS)]
        self.consumer.assign(places)
        for place, end in self.consumer.end_offsets(places).items():
            self.consumer.seek(place, end)

    def command(self, command_type: str, payload: dict[str, Any], *replies: str) -> dict[str, Any]:
        """Send a command; return the payload of its reply. Raises Refused, and TimeoutError without a reply."""
        self.steps += 1
        step = f"{self.id}:{self.steps}:{command_type}"
        envelope = {
            "type": command_type,
            "correlation_id": step,
            "timestamp": datetime.now(UTC).isoformat(),
            "payload": payload,
        }
        self.producer.send(COMMANDS, json.dumps(envelope).encode()).get(timeout=10)
        reply = self._wait(step)
        if reply["type"] not in replies:
            raise Refused(reply["payload"]["error"])
        return dict(reply["payload"])

    def call(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """POST, and repeat under the same key while the outcome is unknown. Raises Refused and TimeoutError."""
        headers = {
            "Content-Type": "application/json",
            "Idempotency-Key": f"{self.id}{path}",
            "X-Correlation-ID": f"{self.id}:{path[1:]}",
        }
        request = urllib.request.Request(SERVICE + path, json.dumps(body).encode(), headers)
        for attempt in range(TRIES):
            try:
                with urllib.request.urlopen(request, timeout=5) as answer:
                    return dict(json.load(answer))
            except urllib.error.HTTPError as error:
                if error.code not in (409, 503):
                    raise Refused(json.load(error)["error"]) from error
            except OSError:
                pass
            time.sleep(2**attempt / 10)
        raise TimeoutError(f"no answer from {path}")

    def close(self) -> None:
        """Close the clients."""
        self.producer.close(timeout=5)
        self.consumer.close()

    def _wait(self, step: str) -> dict[str, Any]:
        deadline = time.monotonic() + REPLY_SECONDS
        while time.monotonic() < deadline:
            for records in self.consumer.poll(timeout_ms=500).values():
                for record in records:
                    event = json.loads(record.value)
                    if event["correlation_id"] == step:
                        return dict(event)
        raise TimeoutError("the order service did not reply")


def authorize(order_id: str, outcome: str) -> None:
    """Stand in for the payment service. Raises Refused."""
    if outcome == "declined":
        raise Refused(f"the card for order {order_id} was declined")


def run(outcome: str) -> str:
    """Run one saga and return the order's last status."""
    saga = OrderSaga()
    try:
        order = {"foodItems": [{"name": "Burrito", "price": 8.5, "quantity": 2}], "deliveryLocation": "Dorm 5"}
        create = {"customer_id": "customer-1", "order_details": order, "saga_id": saga.id}
        order_id = saga.command("create_order", create, "order.created")["order_id"]
        print(f"created {order_id}")
        try:
            authorize(order_id, outcome)
            paid = {"order_id": order_id, "status": "CREATED", "payment_status": "AUTHORIZED"}
            saga.command("update_order_status", paid, "order.status_updated")
            print("authorized")
            saga.call("/verifyAndAcceptOrder", {"orderId": order_id, "runner_id": "runner-1"})
            print("accepted by runner-1")
            status = saga.call("/completeOrder", {"orderId": order_id})["order"]["orderStatus"]
        except Refused as refusal:
            print(f"cancelling, because {refusal}")
            saga.command("cancel_order", {"order_id": order_id, "reason": str(refusal)}, "order.cancelled")
            status = "CANCELLED"
        print(status)
        return str(status)
    finally:
        saga.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Carry out one saga.")
    parser.add_argument("outcome", nargs="?", choices=["paid", "declined"], default="paid", help="of the payment")
    run(parser.parse_args().outcome)
