"""Litestar and asyncpg: the body by msgspec, orjson, order and event in one statement."""

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Annotated, Any

import msgspec
import orjson
from litestar import Litestar, MediaType, Request, Response, get, post
from litestar.datastructures import State
from litestar.params import Parameter

from tests.benchmarks.peers.asyncpg_store import in_one_statement, new_pool, order_as_json
from tests.benchmarks.peers.orders import Refused, change_event, columns, fee_of, food_fee_of

Text = Annotated[str, msgspec.Meta(min_length=1, max_length=255)]


class OrderDetails(msgspec.Struct):
    """What is ordered, and where it goes. An item keeps whatever its sender says of it: `food_fee_of` checks it."""

    foodItems: Annotated[list[dict[str, Any]], msgspec.Meta(min_length=1)]
    deliveryLocation: Text
    storeLocation: Text | None = None
    deliveryFee: float | str = 0


class CreateOrder(msgspec.Struct):
    """The body of `createOrder`."""

    customer_id: Text
    order_details: OrderDetails


@asynccontextmanager
async def connected(app: Litestar) -> AsyncIterator[None]:
    """Keep a full pool as long as the app lives."""
    async with new_pool() as app.state.pool:
        yield


@get("/health")
async def health() -> dict[str, str]:
    """Answer when the pool is there."""
    return {"status": "healthy"}


@post("/createOrder")
async def create_order(
    data: CreateOrder,
    state: State,
    correlation_id: Annotated[str | None, Parameter(header="X-Correlation-ID")] = None,
) -> Response[bytes]:
    """A new order."""
    details = data.order_details
    fees = food_fee_of(details.foodItems), fee_of(details.deliveryFee)
    row = columns(data.customer_id, details.foodItems, *fees, details.storeLocation, details.deliveryLocation)
    named = correlation_id or str(uuid.uuid4())
    event = change_event(SimpleNamespace(**row), "ORDER_CREATED", "created", named, orjson.dumps)
    await in_one_statement(state.pool, row, event)
    return answer({"success": True, "order_id": event.key, "message": "Order created successfully"}, 201)


@get("/getOrderDetails")
async def get_order_details(state: State, order_id: Annotated[str, Parameter(query="orderId")]) -> Response[bytes]:
    """One order."""
    found = await order_as_json(state.pool, order_id)
    if found is None:
        return answer({"error": "Order not found"}, 404)
    return Response(found, media_type=MediaType.JSON)


def answer(body: dict[str, Any], status: int) -> Response[bytes]:
    """Return the JSON as orjson writes it."""
    return Response(orjson.dumps(body), status_code=status, media_type=MediaType.JSON)


def refused(_: Request[Any, Any, Any], error: Refused) -> Response[bytes]:
    """Say why a body cannot be used."""
    return answer({"success": False, "error": str(error)}, 400)


app = Litestar(
    [health, create_order, get_order_details],
    lifespan=[connected],
    exception_handlers={Refused: refused},
    openapi_config=None,
)
