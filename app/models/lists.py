"""The statements of the lists: a page of orders with the exact number of all that match, in one snapshot.

Nothing is counted that is not new: triggers keep signed rows (migration 0004), and a total is a stored number plus the
few rows that are not folded into it yet. A deep page does not walk to its place: days, hours and minutes are counted
too, so it begins in the right minute.
"""

from collections.abc import Collection

from app.models.database import Statement
from app.models.floor import ABOVE_DELTA_FLOOR
from app.models.statements import ORDER_LIST, named

DEEP = 1000  # offsets below are walked: 0.3 ms, less than the look-up of a minute
FILTERS = ("order_status", "runner_id", "cust_id")

_KINDS = {"order_status": "status", "cust_id": "customer", "runner_id": "runner"}
_NEWEST_FIRST = "ORDER BY created_at DESC, order_id DESC"


def _matches(filters: tuple[str, ...]) -> str:
    """Return the condition. Beside a runner the status is no index's: all there are in a status would be walked."""
    if filters == ("order_status", "runner_id"):
        return "runner_id = {runner_id} AND order_status || '' = {order_status}"
    return " AND ".join(f"{column} = {{{column}}}" for column in filters) or "true"


def _total(filters: tuple[str, ...]) -> str:
    if len(filters) > 1:
        return f"SELECT count(*) FROM orders WHERE {_matches(filters)}"
    stored, new = "kind = 'status'", "true"
    if filters:
        (column,) = filters
        stored, new = f"kind = '{_KINDS[column]}' AND value = {{{column}}}", f"{column} = {{{column}}}"
    return (
        f"SELECT (SELECT coalesce(sum(orders), 0) FROM order_counts WHERE {stored})::bigint "
        f"+ (SELECT coalesce(sum(sign), 0) FROM order_count_deltas WHERE {ABOVE_DELTA_FLOOR} AND {new})"
    )


def _page(*filters: str) -> Statement:
    # Past the end nothing is walked.
    return named(
        "_".join(("page", *filters)),
        {**dict.fromkeys(filters, "text"), "limit": "bigint", "offset": "bigint"},
        f"SELECT matching.total, page.* FROM ({_total(filters)}) AS matching (total) LEFT JOIN LATERAL ("
        f"SELECT {ORDER_LIST} FROM orders WHERE {_matches(filters)} AND {{offset}} < matching.total {_NEWEST_FIRST} "
        "LIMIT {limit} OFFSET {offset}) AS page ON true ORDER BY page.created_at DESC, page.order_id DESC",
    )


PAGES = {
    frozenset(filters): _page(*filters)
    for filters in ((), ("order_status",), ("runner_id",), ("cust_id",), ("order_status", "runner_id"))
}


def _bucket(kind: str, form: str, offset: str, within: str = "true") -> str:
    """Return the query for the bucket that holds the order at the offset, and how many orders newer buckets hold."""
    return (
        "SELECT value, newer FROM ("
        # As integers: the window's sum over numeric takes four times as long.
        "SELECT value, sum(orders)::int AS orders, "
        "sum(sum(orders)::int) OVER (ORDER BY value DESC) - sum(orders)::int AS newer FROM ("
        # Of one type on both sides, or the buckets that are not asked for are read too.
        f"SELECT value::text AS value, orders FROM order_counts WHERE kind = '{kind}' UNION ALL "
        f"SELECT to_char(created_at, '{form}') COLLATE \"C\", sign FROM order_count_deltas WHERE {ABOVE_DELTA_FLOOR}"
        f") AS counted WHERE {within} GROUP BY value) AS placed WHERE newer <= {offset} AND {offset} < newer + orders"
    )


def _within(larger: str, kind: str, form: str) -> str:
    """Return the query for the bucket inside of a larger one, whose name its own name begins with."""
    inside = f"value >= {larger}.value AND value < {larger}.value || '~'"
    return (
        f"SELECT found.value, {larger}.newer + found.newer AS newer FROM {larger}, "
        f"LATERAL ({_bucket(kind, form, f'({{offset}} - {larger}.newer)', inside)}) AS found"
    )


_DAY = _bucket("day", "YYYY-MM-DD", "{offset}")
_HOUR = _within("day", "hour", "YYYY-MM-DD HH24")
_MINUTE = _within("hour", "minute", "YYYY-MM-DD HH24:MI")
DEEP_PAGE = named(
    "deep_page",
    {"limit": "bigint", "offset": "bigint"},
    f"WITH day AS MATERIALIZED ({_DAY}), hour AS MATERIALIZED ({_HOUR}), minute AS MATERIALIZED ({_MINUTE}) "
    f"SELECT matching.total, page.* FROM ({_total(())}) AS matching (total) LEFT JOIN LATERAL ("
    f"SELECT {ORDER_LIST} FROM minute, LATERAL (SELECT {ORDER_LIST} FROM orders "
    f"WHERE created_at < minute.value::timestamp + interval '1 minute' {_NEWEST_FIRST} "
    "LIMIT {limit} OFFSET {offset} - minute.newer) AS found) AS page ON true "
    "ORDER BY page.created_at DESC, page.order_id DESC",
)


def page(filters: Collection[str], offset: int) -> Statement:
    """Return the statement for a page under the filters: a parameter for each, in the order of FILTERS, then limit
    and offset."""
    return DEEP_PAGE if not filters and offset >= DEEP else PAGES[frozenset(filters)]
