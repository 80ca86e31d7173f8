"""FastAPI and asyncpg: the body by pydantic, order and event in a transaction of two statements, orjson."""

import os
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from types import SimpleNamespace
from typing import Annotated, Any

import asyncpg
import orjson
from fastapi import FastAPI, Header, Response
from pydantic import BaseModel, Field

from tests.benchmarks.peers.orders import CEILING, CENT, MAX_QUANTITY, change_event, columns

POOL = int(os.environ["DATABASE_POOL"])
COLUMNS = (
    "order_id, cust_id, order_description, food_fee, delivery_fee, store_location, delivery_location, order_status, "
    "payment_status, saga_id, version, created_at, updated_at"
)
INSERT_ORDER = f"INSERT INTO orders ({COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)"
INSERT_EVENT = (
    "INSERT INTO outbox (event_id, aggregateid, type, correlation_id, version, payload) VALUES ($1, $2, $3, $4, $5, $6)"
)

Text = Annotated[str, Field(min_length=1, max_length=255)]


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


@asynccontextmanager
async def connected(app: FastAPI) -> AsyncIterator[None]:
    """Keep a full pool as long as the app lives."""
    async with asyncpg.create_pool(os.environ["DATABASE_URL"], min_size=POOL, max_size=POOL) as app.state.pool:
        yield


app = FastAPI(lifespan=connected)


@app.get("/health")
async def health() -> dict[str, str]:
    """Answer when the pool is there."""
    return {"status": "healthy"}


@app.post("/createOrder")
async def create_order(body: CreateOrder, x_correlation_id: Annotated[str | None, Header()] = None) -> Response:
    """A new order."""
    details = body.order_details
    food_fee = sum((item.price * item.quantity for item in details.foodItems), Decimal(0)).quantize(CENT)
    if food_fee > CEILING:
        return answer({"success": False, "error": f"fees must be at most {CEILING} dollars"}, 400)
    items = [item.model_dump(mode="json") for item in details.foodItems]
    fee, store, place = details.deliveryFee.quantize(CENT), details.storeLocation, details.deliveryLocation
    row = columns(body.customer_id, items, food_fee, fee, store, place)
    named = x_correlation_id or str(uuid.uuid4())
    event = change_event(SimpleNamespace(**row), "ORDER_CREATED", "created", named, orjson.dumps)
    written = event.event_id, event.key, event.type, event.correlation_id, event.version, event.payload
    async with app.state.pool.acquire() as connection, connection.transaction():
        await connection.execute(INSERT_ORDER, *(row[column] for column in COLUMNS.split(", ")))
        await connection.execute(INSERT_EVENT, *written)
    return answer({"success": True, "order_id": event.key, "message": "Order created successfully"}, 201)


def answer(body: dict[str, Any], status: int) -> Response:
    """Return the JSON as orjson writes it."""
    return Response(orjson.dumps(body), status, media_type="application/json")
