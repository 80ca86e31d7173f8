"""The OpenAPI 3.1 document, made from the models that validate the requests and the shapes of the answers."""

from collections.abc import Mapping
from functools import cache
from typing import Any

from flask import Blueprint, Response
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from app.api import bodies, schemas
from app.api.errors import respond
from app.api.routes import DEFAULT_LIMIT, MAX_LIMIT
from app.models.fields import MAX_ID_LENGTH
from app.models.order import OrderStatus
from app.models.store import Answer
from app.utils.encoder import encode

VERSION = "1.0.0"

documents = Blueprint("documents", __name__)

ABOUT = """\
Orders of a campus food-delivery platform. Every change happens once, is answered once and announced once.

A 2xx is committed; a 4xx but 409 was not done; after a 503 ask again: with an `Idempotency-Key` that is always safe.

**Correlation ids:** a notification is kept per correlation id, type and topic. Two changes of one kind under one
`X-Correlation-ID` are one notification, so send a fresh one with each change, or none.
"""

FAILURES = {
    400: "The request or the order's state does not allow it",
    404: "There is no such order",
    409: "A request with this Idempotency-Key is still being worked on",
    413: "The body is larger than 128 KiB",
    415: "The body is not said to be JSON",
    422: "The Idempotency-Key was used with another body",
    503: "The database is away, or whether the change was made is not known",
}
ID = {"type": "string", "minLength": 1, "maxLength": MAX_ID_LENGTH}
ITEMS = [{"name": "Burrito", "price": 8.5, "quantity": 2}]
CREATE_EXAMPLE = {"customer_id": "customer-1", "order_details": {"foodItems": ITEMS, "deliveryLocation": "Dorm 5"}}
AN_ORDER = {"orderId": "01a20435-8cd0-7303-b4d3-9c5bde2f68e3"}

# path: (what it does, body, example of the body, success status, shape of the success)
Post = tuple[str, type[BaseModel], Mapping[str, Any], int, type[BaseModel]]
POSTS: Mapping[str, Post] = {
    "createOrder": ("Make an order", bodies.CreateOrderBody, CREATE_EXAMPLE, 201, schemas.Done),
    "testCreateOrder": (
        "Make an order with the fixed delivery fee 3.99, without an event",
        bodies.CreateTestOrderBody,
        CREATE_EXAMPLE,
        201,
        schemas.Done,
    ),
    "updateOrderStatus": (
        "Set the status; COMPLETED and CANCELLED are final",
        bodies.UpdateStatusBody,
        {**AN_ORDER, "status": "PLACED"},
        200,
        schemas.Changed,
    ),
    "verifyAndAcceptOrder": (
        "A runner takes the order; of many at once one wins",
        bodies.AcceptOrderBody,
        {**AN_ORDER, "runner_id": "runner-1"},
        200,
        schemas.Done,
    ),
    "cancelOrder": ("The customer cancels; only from CREATED", bodies.CancelOrderBody, AN_ORDER, 200, schemas.Changed),
    "cancelAcceptance": (
        "The runner gives the order back",
        bodies.CancelAcceptanceBody,
        AN_ORDER,
        200,
        schemas.Changed,
    ),
    "clearRunner": (
        "Take the order from its runner, or from the one named only",
        bodies.ClearRunnerBody,
        {**AN_ORDER, "runner_id": "runner-1"},
        200,
        schemas.Cleared,
    ),
    "completeOrder": ("The order is done", bodies.CompleteOrderBody, AN_ORDER, 200, schemas.Changed),
}


@documents.get("/openapi.json")
def openapi_json() -> Response:
    """The document."""
    return respond(Answer(200, encode(openapi())))


@cache
def openapi() -> dict[str, Any]:
    """Return the OpenAPI 3.1 document of the order endpoints."""
    shapes = (schemas.Order, schemas.Page, schemas.Changed, schemas.Cleared, schemas.Done)
    models = [(post[1], "validation") for post in POSTS.values()]
    models += [(shape, "validation") for shape in (*shapes, schemas.Failure, schemas.Healthy)]
    _, definitions = models_json_schema(models, ref_template="#/components/schemas/{model}")  # type: ignore[arg-type]
    return {
        "openapi": "3.1.0",
        "info": {"title": "Order service", "version": VERSION, "description": ABOUT},
        "paths": _paths(),
        "components": {
            "schemas": definitions["$defs"],
            "headers": {
                "X-Correlation-ID": {"schema": {"type": "string"}, "description": "The request's, or a new one"}
            },
        },
    }


def _paths() -> dict[str, Any]:
    numbers = [
        _query("page", {"type": "integer", "minimum": 1, "default": 1}),
        _query("limit", {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": DEFAULT_LIMIT}),
    ]
    filters = [
        _query("status", {"type": "string", "enum": [status.value for status in OrderStatus]}),
        _query("runnerId", ID),
    ]
    customer = {"name": "customer_id", "in": "path", "required": True, "schema": ID}
    order_id = {**_query("orderId", ID), "required": True}
    one, many = (400, 404, 503), (400, 503)
    return {
        "/health": {"get": _operation("health", "Tell that somebody answers", [], 200, schemas.Healthy, ())},
        "/orders": {"get": _operation("listOrders", "A page of orders", [*numbers, *filters], 200, schemas.Page, many)},
        "/orders/customer/{customer_id}": {
            "get": _operation(
                "listCustomerOrders",
                "A page of a customer's orders",
                [customer, *numbers],
                200,
                schemas.Page,
                (400, 503),
            )
        },
        "/getOrderDetails": {"get": _operation("getOrderDetails", "One order", [order_id], 200, schemas.Order, one)},
        **{f"/{name}": {"post": _post(name, post)} for name, post in POSTS.items()},
    }


def _post(name: str, post: Post) -> dict[str, Any]:
    summary, body, example, status, success = post
    makes = status == 201
    key = {
        "name": "Idempotency-Key",
        "in": "header",
        "description": "The same key and body again get the same answer, done once; kept for 24 hours at least",
        "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[ -~]+$"},
    }
    failures = tuple(code for code in FAILURES if not (makes and code == 404))
    operation = _operation(name, summary, [key], status, success, failures)
    content = {"application/json": {"schema": _ref(body), "examples": {"example": {"value": example}}}}
    return {**operation, "requestBody": {"required": True, "content": content}}


def _operation(
    name: str,
    summary: str,
    parameters: list[dict[str, Any]],
    status: int,
    success: type[BaseModel],
    failures: tuple[int, ...],
) -> dict[str, Any]:
    correlation = {
        "name": "X-Correlation-ID",
        "in": "header",
        "description": "Named in the answer and in the event; anything else than 1 to 128 of A-Za-z0-9._:- is ignored",
        "schema": {"type": "string"},
    }
    responses = {str(status): _response("Success", success)}
    responses |= {str(code): _response(FAILURES[code], schemas.Failure) for code in failures}
    for code in ("409", "503"):
        if code in responses:
            responses[code]["headers"]["Retry-After"] = {"schema": {"type": "string"}, "description": "Seconds"}
    return {
        "operationId": name,
        "summary": summary,
        "parameters": [*parameters, correlation],
        "responses": responses,
    }


def _response(description: str, shape: type[BaseModel]) -> dict[str, Any]:
    return {
        "description": description,
        "headers": {"X-Correlation-ID": {"$ref": "#/components/headers/X-Correlation-ID"}},
        "content": {"application/json": {"schema": _ref(shape)}},
    }


def _query(name: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    return {"name": name, "in": "query", "required": False, "schema": schema}


def _ref(model: type[BaseModel]) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{model.__name__}"}
