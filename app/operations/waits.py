"""How long orders have been in their present status, beside how long that status usually takes.

The usual time comes from a sample of the last day's changes. The history only grows, so the last day is its end: a
search by halves finds the page where the day begins, and SAMPLED_PAGES pages from there on are read. Neither needs an
index, and both take the same time however long the history is.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, TextClause, text

from app.config.config import Settings
from app.database.floor import ABOVE_DELTA_FLOOR
from app.models.order import TIME_OF_STATUS, OrderStatus
from app.operations.transaction import transaction

UNFINISHED = tuple(status for status in OrderStatus if status not in (OrderStatus.COMPLETED, OrderStatus.CANCELLED))
SAMPLED_PAGES = 30
ROWS_OF_A_PAGE = 80  # more than a page of the history can hold
WALKED = 300  # orders of a status, those first that were made first
SECONDS = 5


@dataclass(frozen=True, slots=True)
class StatusAge:
    """A status: how many orders have it, the 95th percentile of the time that an order was in it during the last day
    (None if none left it), how many have been in it for longer, and how many leaves the percentile was taken from.

    Not `exact`: `slower` counts by the minute of creation, because too many are slower to look at each.
    """

    status: str
    orders: int
    p95_seconds: float | None
    slower: int
    sample: int
    exact: bool


@dataclass(frozen=True, slots=True)
class Waiting:
    """An order that is not finished. `seconds`: how long it has been in its status, since `since`; `is_over`: whether
    that is longer than the status' p95, None if that is not known."""

    order_id: str
    saga_id: str | None
    status: str
    since: datetime
    seconds: float
    p95_seconds: float | None
    is_over: bool | None


@dataclass(frozen=True, slots=True)
class Waits:
    """`statuses` in the order in which an order passes them; `oldest`: longest in their status first; `left_out`:
    unfinished orders that are not in it; `notes`: what is not exact."""

    statuses: Sequence[StatusAge]
    oldest: Sequence[Waiting]
    left_out: int
    notes: Sequence[str]


def waits(settings: Settings, *, limit: int = 100) -> Waits:
    """Return the unfinished orders that have been in their status the longest, and each status' usual time.

    Blocks for some 10 ms, whatever the tables hold; raises DatabaseUnusable.
    """
    with transaction(settings, SECONDS, snapshot=True) as connection:
        now: datetime = connection.scalar(text("SELECT now()"))
        counts = {status: int(orders) for status, orders in connection.execute(_COUNTS)}
        usual = _usual_times(connection)
        walks = {status.value: _walk(connection, status) for status in UNFINISHED}
        statuses = [
            _age(connection, status, counts.get(status, 0), usual.get(status), now, walk)
            for status, walk in walks.items()
        ]
    found = [(order, status) for status, walk in walks.items() for order in walk]
    first = sorted(found, key=lambda waiting: waiting[0].since)[:limit]
    oldest = [_waiting(order, status, usual.get(status), now) for order, status in first]
    total = sum(counts.get(status, 0) for status in walks)
    return Waits(statuses, oldest, max(total - len(oldest), 0), list(_doubts(walks, oldest, limit)))


@dataclass(frozen=True, slots=True)
class _Order:
    order_id: str
    saga_id: str | None
    created_at: datetime
    since: datetime


def _usual_times(connection: Connection) -> Mapping[str, tuple[int, float]]:
    """Return how many leaves of each status were seen, and the 95th percentile of the time before them."""
    pages: int = connection.scalar(_PAGES)
    first = _first_page_of_the_day(connection, pages)
    step = max((pages - first) / SAMPLED_PAGES, 1.0)
    chosen = sorted({int(first + number * step) for number in range(SAMPLED_PAGES)})
    rows = [f"({page},{row})" for page in chosen if page < pages for row in range(1, ROWS_OF_A_PAGE + 1)]
    found = connection.execute(_USUAL, {"rows": rows}) if rows else ()
    return {status: (leaves, p95) for status, leaves, p95 in found}


def _first_page_of_the_day(connection: Connection, pages: int) -> int:
    low, high = 0, pages
    while low < high:
        middle = (low + high) // 2
        if connection.scalar(_IS_OF_THE_DAY, {"place": f"({middle},0)"}) is False:
            low = middle + 1
        else:  # also where nothing follows
            high = middle
    return low


def _walk(connection: Connection, status: OrderStatus) -> list[_Order]:
    """Return the WALKED orders that have the status and were made first."""
    column = TIME_OF_STATUS.get(status)
    rows = connection.execute(_WALKS[column], {"status": status.value, "most": WALKED})
    return [
        _Order(row.order_id, row.saga_id, row.created_at, row.since or row.created_at)
        for row in rows
        if row.created_at is not None
    ]


def _age(
    connection: Connection,
    status: str,
    orders: int,
    usual: tuple[int, float] | None,
    now: datetime,
    walk: Sequence[_Order],
) -> StatusAge:
    if usual is None:
        return StatusAge(status, orders, None, 0, 0, exact=True)
    sample, p95 = usual
    slower = sum((now - order.since).total_seconds() > p95 for order in walk)
    exact = len(walk) < WALKED or slower < len(walk) // 2
    if not exact:
        slower = _made_before(connection, status, now - timedelta(seconds=p95))
    return StatusAge(status, orders, p95, slower, sample, exact)


def _made_before(connection: Connection, status: str, before: datetime) -> int:
    """Return how many orders of the status were made before that minute, from the counts of the lists."""
    day, hour, minute = (f"{before:{form}}" for form in ("%Y-%m-%d", "%Y-%m-%d %H", "%Y-%m-%d %H:%M"))
    given = {"status": status, "all": f"{status} ", "day": f"{status} {day}", "hour": f"{status} {hour}"}
    given |= {"minute": f"{status} {minute}", "before": minute}
    return int(connection.scalar(_MADE_BEFORE, given) or 0)


def _waiting(order: _Order, status: str, usual: tuple[int, float] | None, now: datetime) -> Waiting:
    seconds = max((now - order.since).total_seconds(), 0.0)
    p95 = None if usual is None else usual[1]
    is_over = None if p95 is None else seconds > p95
    return Waiting(order.order_id, order.saga_id, status, order.since, seconds, p95, is_over)


def _doubts(walks: Mapping[str, Sequence[_Order]], oldest: Sequence[Waiting], limit: int) -> Iterator[str]:
    """An order is at most as long in its status as it exists: so far the list is complete."""
    for status, walk in walks.items():
        if len(walk) == WALKED and (len(oldest) < limit or oldest[-1].since > walk[-1].created_at):
            made = f"{walk[-1].created_at:%Y-%m-%d %H:%M}"
            yield f"Of {status} only the {WALKED} orders were looked at that were made first, up to {made}."


_COUNTS = text(
    "SELECT value, sum(orders)::bigint FROM (SELECT value, orders FROM order_counts WHERE kind = 'status' UNION ALL "
    f"SELECT order_status, sign FROM order_count_deltas WHERE {ABOVE_DELTA_FLOOR}) AS counted GROUP BY value"
)
_PAGES = text("SELECT pg_relation_size('order_changes') / current_setting('block_size')::bigint")
_IS_OF_THE_DAY = text(
    "SELECT created_at >= now() - interval '1 day' FROM order_changes WHERE ctid >= CAST(:place AS tid) LIMIT 1"
)
_USUAL = text(
    "SELECT gone.from_status, count(*), percentile_cont(0.95) WITHIN GROUP "
    "(ORDER BY extract(epoch FROM gone.created_at - come.created_at)::float8) "
    "FROM order_changes AS gone, LATERAL (SELECT created_at FROM order_changes AS line "
    "WHERE line.order_id = gone.order_id AND line.version < gone.version AND line.to_status = gone.from_status "
    "AND line.from_status IS DISTINCT FROM line.to_status ORDER BY line.version DESC LIMIT 1) AS come "
    "WHERE gone.ctid = ANY (CAST(:rows AS tid[])) AND gone.from_status <> gone.to_status "
    "AND gone.created_at >= now() - interval '1 day' GROUP BY gone.from_status"
)
_MADE_BEFORE = text(
    "SELECT sum(orders) FROM ("
    "SELECT orders FROM order_counts WHERE kind = 'sday' AND value >= :all AND value < :day UNION ALL "
    "SELECT orders FROM order_counts WHERE kind = 'shour' AND value >= :day AND value < :hour UNION ALL "
    "SELECT orders FROM order_counts WHERE kind = 'sminute' AND value >= :hour AND value < :minute UNION ALL "
    f"SELECT sign FROM order_count_deltas WHERE {ABOVE_DELTA_FLOOR} AND order_status = :status "
    "AND created_at < CAST(:before AS timestamp)) AS counted"
)
_FIRST_MADE = "FROM orders WHERE order_status = :status ORDER BY created_at, order_id LIMIT :most"
_ENTERED = (
    "SELECT line.created_at AT TIME ZONE 'UTC' FROM order_changes AS line WHERE line.order_id = first.order_id "
    "AND line.from_status IS DISTINCT FROM line.to_status ORDER BY line.version DESC LIMIT 1"
)
_WALKS: Mapping[str | None, TextClause] = {
    None: text(
        f"SELECT order_id, saga_id, created_at, ({_ENTERED}) AS since "
        f"FROM (SELECT order_id, saga_id, created_at {_FIRST_MADE}) AS first"
    ),
    **{
        column: text(f"SELECT order_id, saga_id, created_at, {column} AS since {_FIRST_MADE}")
        for column in TIME_OF_STATUS.values()
    },
}
"""By the column that has the time of the status. PENDING and CREATED have none: the history tells."""
