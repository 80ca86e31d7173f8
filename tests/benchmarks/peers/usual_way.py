"""The usual way: Flask and its ORM, commit, then send and flush in the request; each command a transaction and a flush.

What is lost or doubled by a crash between commit and send is its own affair.
"""

import json
import os
import threading
from types import SimpleNamespace
from typing import Any

from flask import Response, jsonify, request
from kafka import KafkaConsumer, KafkaProducer

from tests.benchmarks.peers.orders import Event, change_event, envelope, order_of, utc_now
from tests.benchmarks.peers.tables import Order, correlation_id, db, new_app

SERVERS = os.environ["KAFKA_BOOTSTRAP_SERVERS"]
EVENTS = os.environ["KAFKA_EVENTS_TOPIC"]
TIME_OF_STATUS = {"PLACED": "placed_at", "ON_THE_WAY": "picked_up_at", "DELIVERED": "delivered_at"}

app = new_app(__name__)
producer = KafkaProducer(bootstrap_servers=SERVERS, acks="all")


@app.post("/createOrder")
def create_order() -> tuple[Response, int]:
    """A new order."""
    order = Order(**order_of(request.get_json()))
    db.session.add(order)
    event = change_event(order, "ORDER_CREATED", "created", correlation_id())
    db.session.commit()
    send(event)
    return jsonify(success=True, order_id=event.key, message="Order created successfully"), 201


def send(event: Event) -> None:
    """Send an event and wait until the broker has it."""
    sent = producer.send(EVENTS, key=event.key.encode(), value=event.payload, headers=event.headers)
    producer.flush()
    sent.get(timeout=0)  # flush returns although a record failed


def make_order(payload: dict[str, Any], named: str) -> Event:
    """Do `create_order` and return its reply."""
    order = Order(**order_of(payload, payload["saga_id"]))
    db.session.add(order)
    reply: dict[str, Any] = {"order_id": order.order_id, "customer_id": order.cust_id, "status": order.order_status}
    reply |= {"saga_id": order.saga_id, "version": order.version, "correlation_id": named}
    return envelope(order, "order.created", named, reply)


def update_status(payload: dict[str, Any], named: str) -> Event:
    """Do `update_order_status` and return its reply."""
    order = db.session.get(Order, payload["order_id"], with_for_update=True)
    if order is None:
        unknown = SimpleNamespace(order_id=payload["order_id"], version=0)
        return envelope(unknown, "order.status_update_failed", named, {"error": "Order not found"})
    order.order_status = payload["status"]
    order.updated_at = utc_now()
    if payload["status"] in TIME_OF_STATUS:
        setattr(order, TIME_OF_STATUS[payload["status"]], order.updated_at)
    order.version += 1
    reply = {"order_id": order.order_id, "status": order.order_status, "saga_id": order.saga_id}
    return envelope(order, "order.status_updated", named, reply | {"version": order.version, "correlation_id": named})


HANDLERS = {"create_order": make_order, "update_order_status": update_status}


def consume() -> None:
    """Take commands one by one: a transaction, then a flush, then the next."""
    commands = KafkaConsumer(
        os.environ["KAFKA_COMMANDS_TOPIC"],
        bootstrap_servers=SERVERS,
        group_id=os.environ["KAFKA_GROUP_ID"],
        auto_offset_reset="earliest",
    )
    for record in commands:
        command = json.loads(record.value)
        with app.app_context():
            reply = HANDLERS[command["type"]](command["payload"], command["correlation_id"])
            db.session.commit()
        send(reply)


threading.Thread(target=consume, name="consumer", daemon=True).start()
