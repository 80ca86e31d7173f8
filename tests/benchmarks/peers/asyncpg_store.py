"""What the peers on asyncpg share: their pool, the statements that write an order with its event, the one that reads.

The pool prepares each statement once a connection by itself.
"""

import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import orjson

from tests.benchmarks.check import FIELDS
from tests.benchmarks.peers.orders import Event

POOL = int(os.environ["DATABASE_POOL"])
COLUMNS = (
    "order_id, cust_id, order_description, food_fee, delivery_fee, store_location, delivery_location, order_status, "
    "payment_status, saga_id, version, created_at, updated_at"
)
EVENT_COLUMNS = "event_id, aggregateid, type, correlation_id, version, payload"


def places(first: int, count: int) -> str:
    """Return so many parameters of a statement, the first of them numbered so."""
    return ", ".join(f"${number}" for number in range(first, first + count))


WIDTH, EVENT_WIDTH = len(COLUMNS.split(", ")), len(EVENT_COLUMNS.split(", "))
INSERT_ORDER = f"INSERT INTO orders ({COLUMNS}) VALUES ({places(1, WIDTH)})"
INSERT_EVENT = f"INSERT INTO outbox ({EVENT_COLUMNS}) VALUES ({places(1, EVENT_WIDTH)})"
INSERT_BOTH = (
    f"WITH made AS ({INSERT_ORDER}) INSERT INTO outbox ({EVENT_COLUMNS}) VALUES ({places(WIDTH + 1, EVENT_WIDTH)})"
)
_SHOWN = ", ".join(f'{column} AS "{name}"' for name, column in FIELDS.items())
SELECT_ORDER = f"SELECT {_SHOWN} FROM orders WHERE order_id = $1"

Row = Mapping[str, Any]
Insert = Callable[[asyncpg.Pool, Row, Event], Awaitable[None]]
Reset = Callable[[asyncpg.Connection], Awaitable[None]]


async def nothing_to_reset(connection: asyncpg.Connection) -> None:
    """Give a connection back as it is, because no request changes it; asyncpg's own way asks PostgreSQL each time."""


@asynccontextmanager
async def new_pool(reset: Reset | None = nothing_to_reset) -> AsyncIterator[asyncpg.Pool]:
    """Keep a full pool to the environment's database; without a `reset` it is asyncpg's own."""
    async with asyncpg.create_pool(os.environ["DATABASE_URL"], min_size=POOL, max_size=POOL, reset=reset) as pool:
        yield pool


async def in_two_statements(pool: asyncpg.Pool, row: Row, event: Event) -> None:
    """Commit the order and its event in a transaction of two statements."""
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute(INSERT_ORDER, *_order(row))
        await connection.execute(INSERT_EVENT, *_event(event))


async def in_one_statement(pool: asyncpg.Pool, row: Row, event: Event) -> None:
    """Commit the order and its event by the one statement that writes both."""
    await pool.execute(INSERT_BOTH, *_order(row), *_event(event))


async def order_as_json(pool: asyncpg.Pool, order_id: str) -> bytes | None:
    """Return the order's JSON, None where there is no such order."""
    row = await pool.fetchrow(SELECT_ORDER, order_id)
    return None if row is None else orjson.dumps(dict(row), default=float, option=orjson.OPT_NAIVE_UTC)


def _order(row: Row) -> list[Any]:
    return [row[column] for column in COLUMNS.split(", ")]


def _event(event: Event) -> tuple[Any, ...]:
    return event.event_id, event.key, event.type, event.correlation_id, event.version, event.payload
