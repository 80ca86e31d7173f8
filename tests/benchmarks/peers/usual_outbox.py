"""The usual way with an outbox: the order and its event in one commit of the ORM, a relay thread, ORM reads."""

import threading

from flask import Response, jsonify, request
from flask_sqlalchemy.pagination import Pagination
from sqlalchemy import Select, select

from tests.benchmarks.peers.orders import change_event, order_json, order_of, utc_now
from tests.benchmarks.peers.relay import relay
from tests.benchmarks.peers.tables import Order, Outbox, correlation_id, db, new_app

MAX_LIMIT = 1000

app = new_app(__name__)


@app.post("/createOrder")
def create_order() -> tuple[Response, int]:
    """A new order."""
    order = Order(**order_of(request.get_json()))
    event = change_event(order, "ORDER_CREATED", "created", correlation_id())
    db.session.add_all([order, Outbox.of(event)])
    db.session.commit()
    return jsonify(success=True, order_id=event.key, message="Order created successfully"), 201


@app.post("/verifyAndAcceptOrder")
def accept_order() -> tuple[Response, int]:
    """A runner takes the order."""
    body = request.get_json()
    order = db.session.get(Order, body["orderId"], with_for_update=True)
    if order is None:
        return jsonify(success=False, error="Order not found"), 404
    if order.order_status != "CREATED":
        return jsonify(success=False, error=f"Order cannot be accepted in status: {order.order_status}"), 400
    order.runner_id, order.order_status = body["runner_id"], "ACCEPTED"
    order.accepted_at = order.updated_at = utc_now()
    order.version += 1
    event = change_event(order, "ORDER_ACCEPTED", "accepted", correlation_id())
    db.session.add(Outbox.of(event))
    db.session.commit()
    return jsonify(success=True, message="Order accepted successfully", order_id=event.key), 200


@app.get("/getOrderDetails")
def get_order_details() -> tuple[Response, int]:
    """One order."""
    order = db.session.get(Order, request.args["orderId"])
    if order is None:
        return jsonify(error="Order not found"), 404
    return jsonify(order_json(order)), 200


@app.get("/orders")
def list_orders() -> Response:
    """A page of all orders, newest first, with their number."""
    return page(select(Order))


def page(orders: Select[tuple[Order]]) -> Response:
    """Return the page that the query asks for."""
    newest_first = orders.order_by(Order.created_at.desc(), Order.order_id.desc())
    number, limit = request.args.get("page", 1, int), request.args.get("limit", 10, int)
    found: Pagination = db.paginate(newest_first, page=number, per_page=limit, max_per_page=MAX_LIMIT, error_out=False)
    items = [order_json(order) for order in found.items]
    return jsonify(items=items, total=found.total, pages=found.pages, page=number)


threading.Thread(target=relay, name="relay", daemon=True).start()
