"""The endpoints of orders: validate, call a use case, respond. docs/contract.md has what they promise."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from types import MappingProxyType

from app.api import requests
from app.api.errors import FailureResponses
from app.api.pages import Pages
from app.api.requests import Request
from app.api.responses import Response, to_response
from app.models.callers import Scope
from app.models.errors import Refused, ServiceError
from app.models.order import OrderStatus
from app.models.rules import NOT_FOUND
from app.models.writes import ChangeSource, HttpAnswer
from app.services.order_service import OrderService, RequestContext
from app.services.refusals import RefusalNotes
from app.utils.admission import Priority
from app.utils.text import clip
from app.wire import fields
from app.wire.answers import AnswerForm, failure
from app.wire.bodies import CHANGES, Body
from app.wire.encoder import encode

DEFAULT_LIMIT = 10
MAX_LIMIT = 1000
OF_A_CUSTOMER = "/orders/customer/"

Answering = Callable[[Request], Response]

SCOPES: Mapping[str, Scope] = MappingProxyType({"GET": Scope.READ, "POST": Scope.WRITE})
"""What a caller of an endpoint of orders needs, by its method. docs/openapi.json has it from here."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """The function that answers a method of a path. A path that ends in a slash stands for all longer ones too.

    `scope`: what its caller needs, None where anybody may call. `priority`: says which requests are turned away first
    while the service is overloaded, None where it is never turned away.
    """

    name: str
    method: str
    path: str
    answer: Answering
    scope: Scope | None
    priority: Priority | None = None
    route: str = field(init=False)
    """The template of its paths, for metrics and spans."""
    span_name: str = field(init=False)

    def __post_init__(self) -> None:
        route = f"{self.path}{{id}}" if self.path.endswith("/") else self.path
        object.__setattr__(self, "route", route)
        object.__setattr__(self, "span_name", f"{self.method} {route}")


class Orders:
    """The endpoints of orders."""

    def __init__(self, service: OrderService, pages: Pages, failures: FailureResponses, refusals: RefusalNotes) -> None:
        self._service = service
        self._pages = pages
        self._failures = failures
        self._refusals = refusals

    def endpoints(self) -> list[Endpoint]:
        """Return all of them."""
        changes = ((name, "POST", form.path, self._change(body_model, form)) for name, body_model, form in CHANGES)
        rows: list[tuple[str, str, str, Answering, Priority]] = [
            ("list_orders", "GET", "/orders", self.list_orders, Priority.LIST),
            ("list_customer_orders", "GET", OF_A_CUSTOMER, self.list_customer_orders, Priority.LIST),
            ("get_order_details", "GET", "/getOrderDetails", self.get_order_details, Priority.READ),
            *((*change, Priority.WRITE) for change in changes),
        ]
        return [
            Endpoint(f"orders.{name}", method, path, answer, SCOPES[method], priority)
            for name, method, path, answer, priority in rows
        ]

    def list_orders(self, request: Request) -> Response:
        """A page of all orders, by status and runner [H3]."""
        runner = _id(requests.query_text(request, "runnerId"), "runnerId")
        filters = {"order_status": _status_filter(request), "runner_id": runner}
        return self._page(request, {name: value for name, value in filters.items() if value is not None})

    def list_customer_orders(self, request: Request) -> Response:
        """A page of one customer's orders [H5]."""
        customer_id = requests.utf8(request.path.removeprefix(OF_A_CUSTOMER), "customer_id")
        return self._page(request, {"cust_id": _id(customer_id, "customer_id") or customer_id})

    def get_order_details(self, request: Request) -> Response:
        """One order [H4]."""
        order_id = _id(requests.query_text(request, "orderId"), "orderId")
        if order_id is None:
            raise Refused("missing_fields", "Missing orderId parameter")
        order = self._service.get(order_id, request.deadline)
        if order is None:
            return to_response(failure(NOT_FOUND.code, NOT_FOUND.message))
        return to_response(HttpAnswer(200, encode(order.to_wire())))

    def _change(self, body_model: type[Body], form: AnswerForm) -> Answering:
        """Return the endpoint of a change."""

        def answer(request: Request) -> Response:
            body = request.read_body()
            key = requests.idempotency_key(request, body)
            source = ChangeSource("http", request.correlation_id, request.caller, request.traceparent)
            context = RequestContext(source, request.deadline, key, form)
            try:
                if key is None:
                    answered = self._service.execute(requests.command(request, body, body_model), context)
                else:
                    read_command = partial(requests.command, request, body, body_model)
                    answered = self._service.execute_once(read_command, context)
            except ServiceError as error:
                self._note(context, error.code, request, body)
                raise
            if answered.status < 300:
                self._failures.note_success()
            else:
                self._note(context, answered, request, body)
            return to_response(answered)

        return answer

    def _note(self, context: RequestContext, what: str | HttpAnswer, request: Request, body: bytes) -> None:
        key, correlation_id = context.key.key if context.key else None, request.correlation_id
        is_sent = request.first("x-correlation-id") == correlation_id
        self._refusals.note(context.form.path, what, key, correlation_id, body, is_sent=is_sent)

    def _page(self, request: Request, filters: dict[str, str]) -> Response:
        number = requests.query_number(request, "page", 1)
        limit = requests.query_number(request, "limit", DEFAULT_LIMIT, MAX_LIMIT)
        return self._pages.page(filters, number, limit, request.deadline)


def _status_filter(request: Request) -> str | None:
    status = requests.query_text(request, "status")
    if status is None:
        return None
    if not status.isascii() or status.upper() not in OrderStatus.__members__:
        raise Refused("invalid_status", clip(f"Invalid status: {status}"))
    return status.upper()


def _id(value: str | None, name: str) -> str | None:
    if value is not None and not fields.is_id(value):
        raise Refused("invalid_field", f"{name} must be a text of 1 to {fields.MAX_ID_LENGTH} characters without NUL")
    return value
