"""The OpenAPI 3.1 document, made from the models that validate the requests and the shapes of the answers."""

from collections.abc import Mapping
from functools import cache
from typing import Any

from pydantic import BaseModel

from app.api.routes import DEFAULT_LIMIT, MAX_LIMIT, SCOPES
from app.models.callers import Scope
from app.models.order import OrderStatus
from app.utils.build import VERSION
from app.wire.answers import AnswerForm
from app.wire.bodies import CHANGES, SAYS_SUCCESS, Body
from app.wire.fields import MAX_ID_LENGTH
from tools.documents import refusals, schemas
from tools.documents.calls import POSTS
from tools.documents.examples import CUSTOMER, ORDER_ID, RUNNER, example
from tools.documents.refusals import Sentences
from tools.documents.shapes import ref, schemas_of

ABOUT = """\
Orders of a campus food-delivery platform. Each change happens once and is announced on Kafka by one event, but for
`testCreateOrder`, which announces nothing.

A 2xx is committed; a 4xx but 409 was not done; after a 503 ask again: with an `Idempotency-Key` that is always safe.
Every failure is JSON with a sentence in `error` and a stable `code`, also where this document lists none: 404 of an
unknown path, 405 of a method that a path does not take.

**Who may call:** a service that asks who calls (`AUTH_MODE`) needs an API key or a token with the scope of the
operation, `operator` or the one below. A service that asks nobody ignores credentials; its document has security as
optional.

**Correlation ids:** a notification is kept per correlation id, type and topic. Two changes of one kind under one
`X-Correlation-ID` are one notification, so send a fresh one with each change, or none.

What is announced on Kafka, and the commands that it takes, are in the AsyncAPI document at `/asyncapi`.
"""
TAGS = {
    "orders": "Make orders and read them",
    "progress": "Move an order along; asking for what is already so is a success without a change",
    "runners": "Take an order, give it back",
    "health": "Tell that somebody answers",
}

FAILURES = {
    400: "The request or the order's state does not allow it",
    401: "Who calls is not known; only where the service asks",
    403: "The caller lacks the scope; only where the service asks",
    404: "There is no such order",
    409: "A request with this Idempotency-Key is still being worked on",
    413: "The body is larger than 128 KiB",
    414: "The request line is too large: 8,190 bytes of target at most",
    415: "The body is not said to be JSON, or has a Content-Encoding",
    422: "The Idempotency-Key was used with another body",
    431: "The head is too large: 32 KiB and 100 lines at most",
    500: "A mistake of the service",
    503: "The database is away, the service is busy, or whether the change was made is not known",
}
OF_ANY_PATH = (414, 431)  # refused before the path is known, with every member that failures can have
BEARER = "bearer"
ID = {"type": "string", "minLength": 1, "maxLength": MAX_ID_LENGTH}


@cache
def document() -> dict[str, Any]:
    """Return the OpenAPI 3.1 document of the order endpoints. It is shared: do not change it."""
    shapes = (schemas.Order, schemas.Page, schemas.Changed, schemas.Cleared, schemas.Done)
    models: list[type[BaseModel]] = [*(body for _, body, _ in CHANGES), *shapes, schemas.Failure, schemas.Healthy]
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Order service",
            "version": VERSION,
            "description": ABOUT,
        },
        "servers": [{"url": "./", "description": "Where this document is: under a proxy's path prefix too"}],
        "tags": [{"name": name, "description": about} for name, about in TAGS.items()],
        "paths": {**_gets(), **{form.path: {"post": _post(body, form)} for _, body, form in CHANGES}},
        "components": {
            "schemas": schemas_of(models),
            "headers": {
                "X-Correlation-ID": {"schema": {"type": "string"}, "description": "The request's, or a new one"},
                "Retry-After": {"schema": {"type": "string"}, "description": "Seconds"},
                "WWW-Authenticate": {"schema": {"type": "string"}, "description": "What is wanted, as RFC 6750 has it"},
            },
            "securitySchemes": {
                BEARER: {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "An API key (`ok_...`), or a JWT of the identity provider",
                }
            },
        },
    }


def _gets() -> dict[str, Any]:
    numbers = [
        _query("page", {"type": "integer", "minimum": 1, "default": 1}, 1),
        _query("limit", {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": DEFAULT_LIMIT}, 10),
    ]
    statuses = {"type": "string", "enum": [status.value for status in OrderStatus]}
    filters = [
        {**_query("status", statuses, "CREATED"), "description": "In capital letters or small ones"},
        _query("runnerId", ID, RUNNER),
    ]
    customer = {"name": "customer_id", "in": "path", "required": True, "schema": ID, "example": CUSTOMER}
    order_id = {**_query("orderId", ID, ORDER_ID), "required": True, "allowEmptyValue": False}
    page = _body("orders")
    pages = _response("Newest first", schemas.Page, {"page": page, "past the end": {**page, "items": [], "page": 2}})
    one = _response("The order", schemas.Order, {"order": _body("getOrderDetails")})
    healthy = {200: _response("Healthy", schemas.Healthy, {"healthy": _body("health")})}
    gets = {
        "/health": _operation("health", "health", "Tell that somebody answers", [], healthy),
        "/orders": _read("listOrders", "A page of orders", [*numbers, *filters], pages),
        "/orders/customer/{customer_id}": _read(
            "listCustomerOrders", "A page of a customer's orders", [customer, *numbers], pages
        ),
        "/getOrderDetails": _read("getOrderDetails", "One order", [order_id], one),
    }
    return {path: {"get": operation} for path, operation in gets.items()}


def _read(call: str, summary: str, parameters: list[dict[str, Any]], success: Mapping[str, Any]) -> dict[str, Any]:
    failures = _failures(call, refusals.of_a_get(call))
    return _operation(call, "orders", summary, parameters, {200: success, **failures}, SCOPES["GET"])


def _post(body: type[Body], form: AnswerForm) -> dict[str, Any]:
    call = form.path.removeprefix("/")
    post = POSTS[call]
    key = {
        "name": "Idempotency-Key",
        "in": "header",
        "description": (
            "Such as lunch-1. The same key and body again: the same answer, done once. Kept for 48 hours, or for "
            "what `IDEMPOTENCY_KEY_HOURS` of the service says, never for less than 24. Two such headers are refused"
        ),
        "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]([ -~]*[!-~])?$"},
    }
    success = _response("Success", post.shape, {name: _body(file) for name, file in post.answers.items()})
    failures = _failures(call, refusals.of_a_post(call, body))
    operation = _operation(call, post.tag, post.summary, [key], {form.status: success, **failures}, SCOPES["POST"])
    content = {"application/json": {"schema": ref(body), "examples": _examples(post.sent)}}
    sent = {
        "description": "Uncompressed: with a Content-Encoding it is 415. Shorter than its Content-Length it is 400",
        "required": True,
        "content": content,
    }
    return {**operation, "description": post.about, "requestBody": sent}


# The headers have no examples: the page would fill them in, and the tries of two people would be one request.
def _operation(
    call: str,
    tag: str,
    summary: str,
    parameters: list[dict[str, Any]],
    answers: Mapping[int, Any],
    scope: Scope | None = None,
) -> dict[str, Any]:
    correlation = {
        "name": "X-Correlation-ID",
        "in": "header",
        "description": "Named in the answer and in the event; anything else than 1 to 128 of A-Za-z0-9._:- is ignored",
        "schema": {"type": "string"},
    }
    trace = {
        "name": "traceparent",
        "in": "header",
        "description": "W3C Trace Context: handed on with the event; a malformed one is ignored",
        "schema": {"type": "string"},
    }
    return {
        "operationId": call,
        "tags": [tag],
        "summary": summary,
        "parameters": [*parameters, correlation, trace],
        "security": [{}] if scope is None else [{BEARER: [scope]}, {}],
        "responses": {str(status): answers[status] for status in sorted(answers)},
    }


def _failures(call: str, sentences: Mapping[int, Sentences]) -> dict[int, Any]:
    found = {}
    for status, by_code in sentences.items():
        says_success = {"success": False} if f"/{call}" in SAYS_SUCCESS or status in OF_ANY_PATH else {}
        bodies = {code: {"error": sentence, "code": code, **says_success} for code, sentence in by_code.items()}
        found[status] = _response(FAILURES[status], schemas.Failure, bodies)
        if status in (409, 503):
            found[status]["headers"]["Retry-After"] = {"$ref": "#/components/headers/Retry-After"}
        elif status in (401, 403):
            found[status]["headers"]["WWW-Authenticate"] = {"$ref": "#/components/headers/WWW-Authenticate"}
    return found


def _response(description: str, shape: type[BaseModel], bodies: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "description": description,
        "headers": {"X-Correlation-ID": {"$ref": "#/components/headers/X-Correlation-ID"}},
        "content": {"application/json": {"schema": ref(shape), "examples": _examples(bodies)}},
    }


def _body(file: str) -> Any:
    return example(f"http/{file}")["body"]


def _examples(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: {"value": value} for name, value in values.items()}


def _query(name: str, schema: Mapping[str, Any], example: Any) -> dict[str, Any]:
    """Return an optional parameter. An empty value means the same as none [H3]."""
    return {
        "name": name,
        "in": "query",
        "required": False,
        "allowEmptyValue": True,
        "schema": schema,
        "example": example,
    }
