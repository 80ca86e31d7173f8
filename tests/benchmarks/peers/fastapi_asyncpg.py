"""FastAPI and asyncpg, the body by pydantic, orjson, twice: as it is usually written, and as fast as it goes.

The first writes order and event in a transaction of two statements, with asyncpg's pool as it comes; the other in one
statement, with a pool that does not reset what nobody has changed.
"""

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from types import SimpleNamespace
from typing import Annotated, Any

import orjson
from fastapi import FastAPI, Header, Response
from pydantic import BaseModel, Field

from tests.benchmarks.peers.asyncpg_store import (
    Insert,
    Reset,
    in_one_statement,
    in_two_statements,
    new_pool,
    nothing_to_reset,
    order_as_json,
)
from tests.benchmarks.peers.orders import CEILING, CENT, MAX_QUANTITY, change_event, columns

Text = Annotated[str, Field(min_length=1, max_length=255)]
JSON = "application/json"


class FoodItem(BaseModel, extra="allow"):
    """One thing to eat, with whatever else its sender says of it."""

    price: Annotated[Decimal, Field(ge=0)]
    quantity: Annotated[int, Field(ge=1, le=MAX_QUANTITY)]


class OrderDetails(BaseModel):
    """What is ordered, and where it goes."""

    foodItems: Annotated[list[FoodItem], Field(min_length=1)]
    storeLocation: Text | None = None
    deliveryLocation: Text
    deliveryFee: Annotated[Decimal, Field(ge=0, le=CEILING)] = Decimal("0.00")


class CreateOrder(BaseModel):
    """The body of `createOrder`."""

    customer_id: Text
    order_details: OrderDetails


def new_app(insert: Insert, reset: Reset | None) -> FastAPI:
    """Return the app that writes an order and its event so, and resets a connection so."""

    @asynccontextmanager
    async def connected(app: FastAPI) -> AsyncIterator[None]:
        async with new_pool(reset) as app.state.pool:
            yield

    app = FastAPI(lifespan=connected)

    @app.get("/health")
    async def health() -> dict[str, str]:
        return {"status": "healthy"}

    @app.post("/createOrder")
    async def create_order(body: CreateOrder, x_correlation_id: Annotated[str | None, Header()] = None) -> Response:
        details = body.order_details
        food_fee = sum((item.price * item.quantity for item in details.foodItems), Decimal(0)).quantize(CENT)
        if food_fee > CEILING:
            return answer({"success": False, "error": f"fees must be at most {CEILING} dollars"}, 400)
        items = [item.model_dump(mode="json") for item in details.foodItems]
        fee, store, place = details.deliveryFee.quantize(CENT), details.storeLocation, details.deliveryLocation
        row = columns(body.customer_id, items, food_fee, fee, store, place)
        named = x_correlation_id or str(uuid.uuid4())
        event = change_event(SimpleNamespace(**row), "ORDER_CREATED", "created", named, orjson.dumps)
        await insert(app.state.pool, row, event)
        return answer({"success": True, "order_id": event.key, "message": "Order created successfully"}, 201)

    @app.get("/getOrderDetails")
    async def get_order_details(orderId: str) -> Response:
        found = await order_as_json(app.state.pool, orderId)
        return answer({"error": "Order not found"}, 404) if found is None else Response(found, media_type=JSON)

    return app


def answer(body: dict[str, Any], status: int) -> Response:
    """Return the JSON as orjson writes it."""
    return Response(orjson.dumps(body), status, media_type=JSON)


two_statements = new_app(in_two_statements, reset=None)
one_statement = new_app(in_one_statement, reset=nothing_to_reset)
