"""Reads pages of lists, and the large texts of their orders."""

from collections.abc import Mapping, Sequence
from typing import Any

from app.database import pages_sql
from app.database.orders_sql import ORDER_COLUMNS
from app.database.pages_sql import LARGE_TEXTS
from app.database.pool import Transactions, read
from app.database.rows import to_state
from app.models.errors import DatabaseBusy
from app.models.order import OrderState
from app.models.pages import Listed, Page
from app.utils.deadline import Deadline

_NOTHING: Mapping[str, int] = {}


class PageStore:
    """Both methods block until their deadline at the longest, and raise DatabaseError."""

    def __init__(self, pool: Transactions, bulk: Transactions) -> None:
        """`bulk`: the connections for large texts, so that these and the callers do not wait for each other."""
        self._pool = pool
        self._bulk = bulk

    def page(self, filters: Mapping[str, str], limit: int, offset: int, deadline: Deadline) -> Page:
        """Return one page of the orders that match, newest first, without large texts."""
        statement, values = pages_sql.page(filters, offset), {**filters, "limit": limit, "offset": offset}
        rows = read(self._pool, statement, statement.in_order(values), deadline)
        total = rows[0][0]  # past the end there is one row, without an order
        return Page(total, [row[1:] for row in rows if row[1] is not None], _to_listed)

    def with_texts(self, listed: Sequence[Listed], deadline: Deadline) -> list[OrderState]:
        """Return orders of a page with the texts that were left out of it."""
        order_ids = [found.order.order_id for found in listed]
        rows = read(self._bulk, pages_sql.LOAD_TEXTS, (order_ids,), deadline)
        texts = {order_id: dict(zip(LARGE_TEXTS, found, strict=True)) for order_id, *found in rows}
        if len(texts) < len(listed):
            raise DatabaseBusy("An order of the page has just been removed")  # not by the service, which never does
        return [found.with_texts(texts[found.order.order_id]) for found in listed]


def _to_listed(row: tuple[Any, ...]) -> Listed:
    order, lengths = to_state(row[: len(ORDER_COLUMNS)]), row[len(ORDER_COLUMNS) :]
    if not any(lengths):
        return Listed(order, _NOTHING)
    return Listed(order, {name: length for name, length in zip(LARGE_TEXTS, lengths, strict=True) if length})
