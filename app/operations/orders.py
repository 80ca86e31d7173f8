"""Orders as they are, and how they came there."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Select, select

from app.config.config import Settings
from app.database.orders_sql import ORDER_COLUMNS
from app.database.rows import to_state
from app.models.models import Order, order_changes
from app.models.operator_errors import NotFound
from app.models.order import OrderState
from app.operations.transaction import transaction
from app.wire.fields import is_id

_orders = Order.__table__.c
_changes = order_changes.c


@dataclass(frozen=True, slots=True)
class ChangeLine:
    """One change of an order.

    `topic`, `partition` and `offset` are those of the command that made it; `caller` is whose call made it, None also
    where nobody was asked who calls; `traceparent` is the trace that the call or the command named.
    """

    version: int
    change_id: UUID
    kind: str
    from_status: str | None
    to_status: str
    payment_status: str
    runner_id: str | None
    door: str
    correlation_id: str
    topic: str | None
    partition: int | None
    offset: int | None
    at: datetime
    caller: str | None
    traceparent: str | None

    @property
    def move(self) -> str:
        """From which status to which."""
        return f"{self.from_status or '·'} → {self.to_status}"

    @property
    def command(self) -> str | None:
        """The place of the command."""
        return None if self.topic is None else f"{self.topic}/{self.partition}/{self.offset}"


def find(
    settings: Settings,
    *,
    status: str | None = None,
    runner: str | None = None,
    customer: str | None = None,
    limit: int = 20,
) -> list[OrderState]:
    """Return the orders that have all that is given, newest first."""
    wanted = ((_orders.order_status, status), (_orders.runner_id, runner), (_orders.cust_id, customer))
    return _newest(
        settings, _select().where(*(column == value for column, value in wanted if value is not None)), limit
    )


def show(settings: Settings, order_id: str) -> OrderState:
    """Return one order. Raises NotFound."""
    with transaction(settings) as connection:
        return load(connection, order_id)


def changes_of(order_id: str) -> Select[Any]:
    """Return the query for the fields of a ChangeLine, a row for each change of the order."""
    columns = (column for column in _changes if column is not _changes.order_id)
    return select(*columns).where(_changes.order_id == order_id)


def _select() -> Select[Any]:
    return select(*(_orders[column] for column in ORDER_COLUMNS))


def _newest(settings: Settings, query: Select[Any], limit: int) -> list[OrderState]:
    query = query.order_by(_orders.created_at.desc(), _orders.order_id.desc()).limit(limit)
    with transaction(settings) as connection:
        return [to_state(row) for row in connection.execute(query)]


def load(connection: Connection, order_id: str) -> OrderState:
    """Return one order as the transaction sees it. Raises NotFound."""
    query = _select().where(_orders.order_id == order_id)
    row = connection.execute(query).first() if is_id(order_id) else None  # psycopg2 takes no NUL
    if row is None:
        raise NotFound(f"There is no order {order_id!r}.")
    return to_state(row)
