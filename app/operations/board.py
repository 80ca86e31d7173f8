"""What the service is doing, on one page: orders by status with their age, and the newest changes."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, text

from app.config.config import Settings
from app.database.floor import ABOVE_DELTA_FLOOR
from app.models.order import OrderStatus
from app.operations.transaction import transaction

NEWEST = 15
PAGES = 4  # of the history's end that are looked at: some hundred lines

# Each look for an oldest and a newest order is one step into the index over status and time. A plain condition on the
# status lets the planner walk over the times of all orders instead, which takes a second where a status has few.
_STATUSES = text(
    "SELECT status, coalesce(orders, 0) + coalesce(came, 0) AS orders, oldest.created_at AS oldest, "
    "newest.created_at AS newest FROM unnest(CAST(:statuses AS varchar[])) WITH ORDINALITY AS s (status, place) "
    "LEFT JOIN (SELECT value, orders FROM order_counts WHERE kind = 'status') AS c ON c.value = status "
    "LEFT JOIN (SELECT order_status, sum(sign) AS came FROM order_count_deltas "
    f"WHERE {ABOVE_DELTA_FLOOR} GROUP BY 1) AS d ON d.order_status = status "
    "LEFT JOIN LATERAL (SELECT order_status, created_at FROM orders "
    "WHERE (order_status, created_at) >= (status, CAST('-infinity' AS timestamp)) "
    "ORDER BY order_status, created_at LIMIT 1) AS oldest ON oldest.order_status = status "
    "LEFT JOIN LATERAL (SELECT order_status, created_at FROM orders "
    "WHERE (order_status, created_at) <= (status, CAST('infinity' AS timestamp)) "
    "ORDER BY order_status DESC, created_at DESC LIMIT 1) AS newest ON newest.order_status = status ORDER BY place"
)
# The history only grows, so its newest lines are in its last pages: no index over the time of changes is needed.
# Their number is asked for itself: it is a volatile function, with which PostgreSQL would read the whole history.
_PAGES = text("SELECT pg_relation_size('order_changes') / current_setting('block_size')::bigint")
_CHANGES = text(
    "SELECT order_id, version, kind, from_status, to_status, payment_status, door, created_at FROM order_changes "
    "WHERE ctid >= CAST(:place AS tid) ORDER BY created_at DESC, order_id, version DESC LIMIT :newest"
)


@dataclass(frozen=True, slots=True)
class StatusLine:
    """One status: how many orders have it, and when the oldest and the newest of them were made."""

    status: str
    orders: int
    oldest: datetime | None
    newest: datetime | None


@dataclass(frozen=True, slots=True)
class NewChange:
    """One of the newest changes. `door`: how it came."""

    order_id: str
    version: int
    kind: str
    from_status: str | None
    to_status: str
    payment_status: str
    door: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Board:
    """The statuses in the order of an order's life, and the newest changes first."""

    statuses: Sequence[StatusLine]
    changes: Sequence[NewChange]

    @property
    def orders(self) -> int:
        """How many orders there are."""
        return sum(line.orders for line in self.statuses)


def board(settings: Settings) -> Board:
    """Return what is on the board, as of one instant; some milliseconds, however many orders there are.

    Blocks as `transaction` does. Raises DatabaseUnusable. Commits nothing.
    """
    with transaction(settings, snapshot=True) as connection:
        return Board(_statuses(connection), _changes(connection))


def _statuses(connection: Connection) -> Sequence[StatusLine]:
    rows = connection.execute(_STATUSES, {"statuses": [status.value for status in OrderStatus]})
    return [StatusLine(row.status, int(row.orders), row.oldest, row.newest) for row in rows]


def _changes(connection: Connection) -> Sequence[NewChange]:
    first = max((connection.scalar(_PAGES) or 0) - PAGES, 0)
    return [NewChange(*row) for row in connection.execute(_CHANGES, {"place": f"({first},0)", "newest": NEWEST})]
