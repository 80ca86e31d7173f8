"""What the tables know under an id: orders, commands that left no change, answers under keys."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Connection,
    String,
    func,
    select,
    text,
    type_coerce,
)

from app.database.history_index import HISTORY_INDEX_STATE
from app.database.orders_sql import ORDER_COLUMNS
from app.database.rows import to_state
from app.models.errors import Refused
from app.models.kafka_tables import command_identities, dead_letters, given_up_commands, outbox
from app.models.models import Order, idempotency_keys, order_changes
from app.models.order import OrderState
from app.operations import outbox_rows
from app.operations.transaction import by_indexes
from app.wire.decoder import decode_leniently

MOST = 200
"""Orders that one kind of id is looked up for: a correlation id may have very many."""
LONGEST_ANSWER = 64 * 1024

_orders = Order.__table__.c
_changes = order_changes.c
_identities = command_identities.c
_letters = dead_letters.c
_given_up = given_up_commands.c
_keys = idempotency_keys.c


@dataclass(frozen=True, slots=True)
class FoundCommand:
    """A command that left more, or other, than changes. `place`: where it was in the log; `outcome`: a refusal's code,
    'unchanged', 'repeat', 'unreadable' or 'internal_error'; `repeats`: how often it came again; `kept_as`: the row that
    has its bytes."""

    place: str | None
    type: str | None
    correlation_id: str | None
    order_id: str | None
    outcome: str
    at: datetime
    repeats: int = 0
    kept_as: str | None = None


@dataclass(frozen=True, slots=True)
class FoundKey:
    """An answer under an Idempotency-Key. `order_id`: the order that it tells of."""

    path: str
    key: str
    status: int
    order_id: str | None
    at: datetime


def orders_with(connection: Connection, some_id: str, event_id: UUID | None) -> dict[str, list[str]]:
    """Return by what each order was found, by order id: at most MOST orders for each kind of id, newest first."""
    found: dict[str, list[str]] = {}
    for by, order_id in connection.execute(_OF_ORDERS, {"id": some_id, "most": MOST}):
        found.setdefault(order_id, []).append(by)
    for by, order_id in _of_history(connection, some_id, event_id):
        found.setdefault(order_id, []).append(by)
    return found


def newest_orders(connection: Connection, order_ids: Sequence[str], limit: int) -> list[OrderState]:
    """Return the orders, newest first."""
    query = select(*(_orders[column] for column in ORDER_COLUMNS)).where(_orders.order_id.in_(order_ids))
    query = query.order_by(_orders.created_at.desc(), _orders.order_id.desc()).limit(limit)
    return [to_state(row) for row in connection.execute(query)] if order_ids else []


def commands_with(
    connection: Connection, some_id: str, event_id: UUID | None, topic: str, limit: int
) -> list[FoundCommand]:
    """Return the commands that left no change, or came again, or could not be read, newest first. `topic`: theirs."""
    found = [
        *_unfulfilled(connection, some_id, topic, limit),
        *_unread(connection, event_id, limit),
        *_of_given_up(connection, some_id, event_id, limit),
    ]
    return sorted(found, key=lambda command: command.at, reverse=True)


def commands_at(connection: Connection, topic: str, partition: int, offset: int) -> list[FoundCommand]:
    """Return what the tables keep of the record at this place."""
    letter = _letters.topic == topic, _letters.partition == partition, _letters.offset == offset
    given_up = _given_up.topic == topic, _given_up.partition == partition, _given_up.offset == offset
    return [*_letters_where(connection, 2, *letter), *_given_up_where(connection, 2, *given_up)]


def keys_with(connection: Connection, key: str) -> list[FoundKey]:
    """Return the answers under the key, one for each path: the primary key is walked from path to path."""
    return [
        FoundKey(path, key, status, order_in(bytes(body or b"")), at)
        for path, status, body, at in connection.execute(_ANSWERS, {"key": key})
    ]


def waiting_event(connection: Connection, event_id: UUID) -> bool:
    """Tell whether the event waits in the outbox, as far as that can be told in time (outbox_rows.py)."""
    return bool(outbox_rows.find(connection, outbox.c.event_id == event_id, outbox_rows.moment_of(event_id)))


def has_history_index(connection: Connection) -> bool:
    """Tell whether the index that search needs is there and whole."""
    return bool(connection.scalar(text(HISTORY_INDEX_STATE)))


def _of_history(connection: Connection, some_id: str, event_id: UUID | None) -> Iterator[tuple[str, str]]:
    with by_indexes(connection):
        for order_id in connection.scalars(_OF_CORRELATION, {"id": some_id, "most": MOST}):
            yield "correlation id", order_id
        if event_id is not None:
            for order_id in connection.scalars(_OF_CHANGE, {"id": event_id, "most": MOST}):
                yield "event id", order_id


def _unfulfilled(connection: Connection, some_id: str, topic: str, limit: int) -> list[FoundCommand]:
    """Return what was refused, changed nothing or came again."""
    rows = connection.execute(_UNFULFILLED, {"id": some_id, "most": limit})
    return [
        FoundCommand(f"{topic}/{partition}/{offset}", kind, by, order_id, outcome or "repeat", when, repeats or 0)
        for kind, by, order_id, outcome, repeats, partition, offset, when in rows
    ]


def _unread(connection: Connection, event_id: UUID | None, limit: int) -> list[FoundCommand]:
    return [] if event_id is None else _letters_where(connection, limit, _letters.event_id == event_id)


def _letters_where(connection: Connection, limit: int, *where: ColumnElement[bool]) -> list[FoundCommand]:
    columns = _letters.id, _letters.topic, _letters.partition, _letters.offset, _letters.created_at
    rows = connection.execute(select(*columns).where(*where).order_by(_letters.id.desc()).limit(limit))
    return [
        FoundCommand(f"{topic}/{partition}/{offset}", None, None, None, "unreadable", at, 0, f"dead letter {letter}")
        for letter, topic, partition, offset, at in rows
    ]


def _of_given_up(connection: Connection, some_id: str, event_id: UUID | None, limit: int) -> list[FoundCommand]:
    condition = _given_up.correlation_id == some_id
    if event_id is not None:
        condition |= _given_up.event_id == event_id
    return _given_up_where(connection, limit, condition)


def _given_up_where(connection: Connection, limit: int, *where: ColumnElement[bool]) -> list[FoundCommand]:
    place = func.concat_ws("/", _given_up.topic, _given_up.partition, _given_up.offset)
    columns = _given_up.id, type_coerce(place, String), _given_up.type, _given_up.correlation_id, _given_up.created_at
    rows = connection.execute(select(*columns).where(*where).order_by(_given_up.id.desc()).limit(limit))
    return [
        FoundCommand(at_place, kind, correlation_id, None, "internal_error", at, 0, f"given up {row}")
        for row, at_place, kind, correlation_id, at in rows
    ]


def order_in(body: bytes) -> str | None:
    """Return the id of the order that an answer tells of."""
    answer: Any = None
    with suppress(Refused):
        answer = decode_leniently(body)
    order = answer.get("order") if isinstance(answer, dict) else None
    found = order.get("orderId") if isinstance(order, dict) else None
    found = found or (answer.get("order_id") if isinstance(answer, dict) else None)
    return found if isinstance(found, str) else None


_ANSWERS = text(
    "WITH RECURSIVE paths AS ("
    "(SELECT path FROM idempotency_keys ORDER BY path LIMIT 1) UNION ALL "
    "SELECT (SELECT path FROM idempotency_keys WHERE path > paths.path ORDER BY path LIMIT 1) "
    "FROM paths WHERE path IS NOT NULL) "
    "SELECT k.path, k.status, CASE WHEN octet_length(k.body) <= "
    f"{LONGEST_ANSWER} THEN k.body END, k.created_at "
    "FROM paths JOIN idempotency_keys AS k ON k.path = paths.path AND k.key = :key ORDER BY k.created_at DESC"
)
_NEWEST = "ORDER BY created_at DESC, order_id DESC LIMIT :most"
_OF_ORDERS = text(
    "SELECT 'order id', order_id FROM orders WHERE order_id = :id UNION "
    f"(SELECT 'saga', order_id FROM orders WHERE saga_id = :id {_NEWEST}) UNION "
    "SELECT 'saga', order_id FROM saga_orders WHERE saga_id = :id UNION "
    f"(SELECT 'customer', order_id FROM orders WHERE cust_id = :id {_NEWEST}) UNION "
    f"(SELECT 'runner', order_id FROM orders WHERE runner_id = :id {_NEWEST})"
)
_SOME_ORDERS = "SELECT DISTINCT order_id FROM (SELECT order_id FROM order_changes WHERE {} LIMIT :most) AS lines"
_OF_CORRELATION = text(_SOME_ORDERS.format("correlation_id = :id"))
_OF_CHANGE = text(_SOME_ORDERS.format("change_id = :id"))
_UNFULFILLED = text(
    "SELECT type, correlation_id, order_id, outcome, repeats, "
    'coalesce("partition", repeated_partition), coalesce("offset", repeated_offset), '
    "coalesce(repeated_at, created_at) AS at "
    "FROM command_identities WHERE order_id = :id OR correlation_id = :id ORDER BY at DESC LIMIT :most"
)
