"""The eleven endpoints of orders: validate, call, render. What they promise is in docs/contract.md."""

from flask import Blueprint, Response, current_app, g
from werkzeug.routing import BaseConverter

from app.api import answers, bodies, requests
from app.api.errors import Refused, refusal, respond
from app.models import fields
from app.models.answer_store import Answer
from app.models.commands import Command
from app.models.order import OrderStatus
from app.models.rules import NOT_FOUND
from app.models.store import Origin
from app.services.order_service import Call, OrderService
from app.utils.decoder import is_storable
from app.utils.encoder import encode
from app.utils.text import clip

DEFAULT_LIMIT = 10
MAX_LIMIT = 1000

orders = Blueprint("orders", __name__)


class AnyText(BaseConverter):
    """The rest of a path, whatever is in it: an id may begin with a slash and hold line breaks, `path` may not."""

    regex = r"[\s\S]+"
    part_isolating = False


@orders.get("/orders")
def list_orders() -> Response:
    """A page of all orders, by status and runner [H3]."""
    filters = {"order_status": _status_filter(), "runner_id": _id(requests.query_text("runnerId"), "runnerId")}
    return _page({name: value for name, value in filters.items() if value is not None})


@orders.get("/orders/customer/<any_text:customer_id>")
def list_customer_orders(customer_id: str) -> Response:
    """A page of one customer's orders [H5]."""
    requests.refuse_undecodable_path("customer_id")
    return _page({"cust_id": _id(customer_id, "customer_id") or customer_id})


@orders.get("/getOrderDetails")
def get_order_details() -> Response:
    """One order [H4]."""
    order_id = _id(requests.query_text("orderId"), "orderId")
    if order_id is None:
        raise Refused("missing_fields", "Missing orderId parameter")
    order = _service().get(order_id, g.deadline)
    return respond(refusal(NOT_FOUND) if order is None else Answer(200, encode(order.to_wire())))


@orders.post("/createOrder")
def create_order() -> Response:
    """A new order [H6]."""
    return _change(bodies.CreateOrderBody, answers.with_id(201, "Order created successfully"))


@orders.post("/testCreateOrder")
def create_test_order() -> Response:
    """A new order with a fixed fee that is not announced [H7]."""
    return _change(bodies.CreateTestOrderBody, answers.with_id(201, "Order created successfully"))


@orders.post("/updateOrderStatus")
def update_order_status() -> Response:
    """Another status [H8]."""
    return _change(bodies.UpdateStatusBody, answers.with_order("Order status updated successfully"))


@orders.post("/verifyAndAcceptOrder")
def verify_and_accept_order() -> Response:
    """A runner takes the order [H9]."""
    return _change(bodies.AcceptOrderBody, answers.with_id(200, "Order accepted successfully"))


@orders.post("/cancelOrder")
def cancel_order() -> Response:
    """The customer cancels [H10]."""
    return _change(bodies.CancelOrderBody, answers.with_order("Order cancelled successfully"))


@orders.post("/cancelAcceptance")
def cancel_acceptance() -> Response:
    """The runner gives the order back [H11]."""
    return _change(bodies.CancelAcceptanceBody, answers.with_order("Order acceptance cancelled successfully"))


@orders.post("/clearRunner")
def clear_runner() -> Response:
    """The order is taken from its runner [H12]."""
    return _change(bodies.ClearRunnerBody, answers.with_order("Runner cleared successfully"))


@orders.post("/completeOrder")
def complete_order() -> Response:
    """The order is done [H13]."""
    return _change(bodies.CompleteOrderBody, answers.with_order("Order completed successfully"))


def _change(body_model: type[bodies.Body], present: answers.Presenter) -> Response:
    body = requests.body_bytes()
    call = Call(Origin("http", g.correlation_id), g.deadline, requests.idempotency_key(body), present)

    def command() -> Command:
        return fields.read(body_model, requests.json_object(body)).command()

    return respond(_service().answer(command, call))


def _page(filters: dict[str, str]) -> Response:
    number = requests.query_number("page", 1)
    limit = requests.query_number("limit", DEFAULT_LIMIT, MAX_LIMIT)
    total, items = _service().page(filters, number, limit, g.deadline)
    return respond(answers.page(items, total, number, limit))


def _status_filter() -> str | None:
    status = requests.query_text("status")
    if status is None:
        return None
    if not status.isascii() or status.upper() not in OrderStatus.__members__:
        raise Refused("invalid_status", clip(f"Invalid status: {status}"))
    return status.upper()


def _id(value: str | None, name: str) -> str | None:
    if value is not None and not (1 <= len(value) <= fields.MAX_ID_LENGTH and is_storable(value)):
        raise Refused("invalid_field", f"{name} must be a text of 1 to {fields.MAX_ID_LENGTH} characters without NUL")
    return value


def _service() -> OrderService:
    service: OrderService = current_app.extensions["order_service"]
    return service
