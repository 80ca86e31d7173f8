"""The statements of lists: a page of orders with the exact number of all that match, in one snapshot.

A total is a stored number plus the few signed rows that triggers have written since (migration 0004). A deep page does
not walk to its place: the orders of days, hours and minutes are counted too, so it begins in the right minute. A deep
page of a runner or a customer, which have few orders, walks over the index alone.
"""

from collections.abc import Collection

from app.database.floor import ABOVE_DELTA_FLOOR
from app.database.orders_sql import ORDER_COLUMNS, ORDER_LIST
from app.database.statement import Statement
from app.models.pages import LISTED_BYTES

DEEP = 1000  # a smaller offset is walked to: 0.3 ms, less than the look-up of a minute
LARGE_TEXTS = ("order_description", "cancel_reason")  # each other text has 255 characters at most

ARE_PLACED = "EXISTS (SELECT FROM order_count_marks WHERE mark = 'statuses')"
"""Whether the minutes of each status are counted. Before, only those of changes since migration 0016 are."""

_PLACELESS = ("created_at >= '10000-01-01'", "created_at < '0001-01-01'", "created_at IS NULL")
"""Times that no minute has, or whose minute sorts elsewhere (infinity too). Finding one is a look into an index."""
_KINDS = {"order_status": "status", "cust_id": "customer", "runner_id": "runner"}
_PLACE = {"limit": "bigint", "offset": "bigint"}
_NEWEST_FIRST = "ORDER BY created_at DESC, order_id DESC"
_OLDEST_FIRST = "ORDER BY created_at, order_id"
_PAGE_NEWEST_FIRST = "ORDER BY page.created_at DESC, page.order_id DESC"


def _listed(column: str) -> str:
    if column not in LARGE_TEXTS:
        return f"page.{column}"
    return f"CASE WHEN octet_length(page.{column}) <= {LISTED_BYTES} THEN page.{column} END"


def _length(column: str) -> str:
    return f"CASE WHEN octet_length(page.{column}) > {LISTED_BYTES} THEN octet_length(page.{column}) END"


_LISTED = ", ".join([*map(_listed, ORDER_COLUMNS), *map(_length, LARGE_TEXTS)])
"""What is selected of an order that is called `page`: its columns, and the length of each large text left out."""

LOAD_TEXTS = Statement(
    "load_texts",
    {"order_ids": "text[]"},
    f"SELECT order_id, {', '.join(LARGE_TEXTS)} FROM orders WHERE order_id = ANY ($order_ids)",
)


# The first pages: walked from the newest order

_FILTERS = ((), ("order_status",), ("runner_id",), ("cust_id",), ("order_status", "runner_id"))


def _matches(filters: tuple[str, ...]) -> str:
    """Return the condition. Beside a runner the status must not use its index, which would walk the whole status."""
    if filters == ("order_status", "runner_id"):
        return "runner_id = $runner_id AND order_status || '' = $order_status"
    return " AND ".join(f"{column} = ${column}" for column in filters) or "true"


def _total(filters: tuple[str, ...]) -> str:
    """Return the query for the number of all orders that match."""
    if len(filters) > 1:
        return f"SELECT count(*) FROM orders WHERE {_matches(filters)}"
    stored, new = "kind = 'status'", "true"
    if filters:
        (column,) = filters
        stored, new = f"kind = '{_KINDS[column]}' AND value = ${column}", f"{column} = ${column}"
    return f"""
    SELECT (SELECT coalesce(sum(orders), 0) FROM order_counts WHERE {stored})::bigint
        + (SELECT coalesce(sum(sign), 0) FROM order_count_deltas WHERE {ABOVE_DELTA_FLOOR} AND {new})"""


def _page(*filters: str) -> Statement:
    """Return the statement for a page that is walked to. Past the end nothing is walked."""
    return Statement(
        "_".join(("page", *filters)),
        {**dict.fromkeys(filters, "text"), **_PLACE},
        f"""
SELECT matching.total, {_LISTED}
FROM ({_total(filters)}) AS matching (total)
LEFT JOIN LATERAL (
    SELECT {ORDER_LIST} FROM orders WHERE {_matches(filters)} AND $offset < matching.total
    {_NEWEST_FIRST} LIMIT $limit OFFSET $offset) AS page ON true
{_PAGE_NEWEST_FIRST}""",
    )


PAGES = {frozenset(filters): _page(*filters) for filters in _FILTERS}


# Deep pages of all orders, or of a status: each begins in its minute

_FORMS = {"day": "YYYY-MM-DD", "hour": "YYYY-MM-DD HH24", "minute": "YYYY-MM-DD HH24:MI"}


def _bucket(kind: str, status: str | None, offset: str, larger: str | None = None) -> str:
    """Return the query for the bucket that has the order at the offset, and for the number of orders in newer ones.

    With `larger` only for buckets inside that one: their names begin with its name. The buckets of a status are kinds
    of their own, named by the status, a space, and the bucket. Counts are summed as integers: the window's sum over
    numeric takes four times as long.
    """
    name, first, new = "value::text", "", "true"
    stored, within = f"kind = '{kind}'", "value IS NOT NULL"
    if status is not None:
        name, first, new = f"substr(value, length({status}) + 2)", f"{status} || ' ' || ", f"order_status = {status}"
        stored = f"kind = 's{kind}' AND value >= {status} || ' ' AND value < {status} || '!'"
    if larger is not None:
        within = f"value >= {larger}.value AND value < {larger}.value || '~'"
        stored += f" AND value >= {first}{larger}.value AND value < {first}{larger}.value || '~'"
    return f"""
    SELECT value, newer FROM (
        SELECT value, sum(orders)::int AS orders,
            sum(sum(orders)::int) OVER (ORDER BY value DESC) - sum(orders)::int AS newer
        FROM (
            SELECT {name} AS value, orders FROM order_counts WHERE {stored}
            UNION ALL
            SELECT to_char(created_at, '{_FORMS[kind]}') COLLATE "C", sign FROM order_count_deltas
            WHERE {ABOVE_DELTA_FLOOR} AND {new}) AS counted
        WHERE {within} GROUP BY value) AS placed
    WHERE newer <= {offset} AND {offset} < newer + orders"""


def _within(larger: str, kind: str, status: str | None) -> str:
    """Return the query for the bucket inside a larger one."""
    return f"""
    SELECT found.value, {larger}.newer + found.newer AS newer
    FROM {larger}, LATERAL ({_bucket(kind, status, f"($offset - {larger}.newer)", larger)}) AS found"""


def _deep(*filters: str) -> Statement:
    """Return the statement for a page that begins in its minute.

    It walks instead while an order has no minute and, under a status, until housekeeping has counted the minutes
    (database/retention.py).
    """
    status, condition = ("$order_status", "order_status = $order_status AND ") if filters else (None, "")
    placed = " AND ".join(f"NOT EXISTS (SELECT FROM orders WHERE {condition}{odd})" for odd in _PLACELESS)
    return Statement(
        "_".join(("deep_page", *filters)),
        {**dict.fromkeys(filters, "text"), **_PLACE},
        f"""
WITH ready AS MATERIALIZED (SELECT {placed}{f" AND {ARE_PLACED}" if filters else ""} AS yes),
day AS MATERIALIZED ({_bucket("day", status, "$offset")}),
hour AS MATERIALIZED ({_within("day", "hour", status)}),
minute AS MATERIALIZED ({_within("hour", "minute", status)})
SELECT matching.total, {_LISTED}
FROM ({_total(filters)}) AS matching (total)
LEFT JOIN LATERAL (
    SELECT {ORDER_LIST} FROM minute, LATERAL (
        SELECT {ORDER_LIST} FROM orders WHERE {condition}created_at < minute.value::timestamp + interval '1 minute'
        {_NEWEST_FIRST} LIMIT $limit OFFSET $offset - minute.newer) AS found
    WHERE (SELECT yes FROM ready)
    UNION ALL (
        SELECT {ORDER_LIST} FROM orders
        WHERE {condition}$offset < matching.total AND NOT (SELECT yes FROM ready)
        {_NEWEST_FIRST} LIMIT $limit OFFSET $offset)) AS page ON true
{_PAGE_NEWEST_FIRST}""",
    )


# Deep pages of one runner or customer, whose minutes are not counted


def _far(column: str) -> Statement:
    """Return the statement: on the way to its place only the index is read, from the end that is nearer."""
    ids = f"SELECT order_id FROM orders WHERE {column} = ${column}"
    left = "SELECT greatest(total - $offset, 0) FROM matching"
    return Statement(
        f"far_page_{column}",
        {column: "text", **_PLACE},
        f"""
WITH matching (total) AS MATERIALIZED ({_total((column,))})
SELECT matching.total, {_LISTED}
FROM matching
LEFT JOIN (
    SELECT {ORDER_LIST} FROM orders WHERE order_id = ANY (ARRAY(
        ({ids} AND (SELECT $offset <= total / 2 FROM matching) {_NEWEST_FIRST} LIMIT $limit OFFSET $offset)
        UNION ALL
        ({ids} AND (SELECT $offset > total / 2 AND $offset < total FROM matching) {_OLDEST_FIRST}
            LIMIT least($limit, ({left})) OFFSET greatest(({left}) - $limit, 0))))) AS page ON true
{_PAGE_NEWEST_FIRST}""",
    )


DEEP_PAGES = {
    **{frozenset(filters): _deep(*filters) for filters in ((), ("order_status",))},
    **{frozenset({column}): _far(column) for column in ("runner_id", "cust_id")},
}


def page(filters: Collection[str], offset: int) -> Statement:
    """Return the statement for a page under the filters; it has a parameter for each of them, `limit` and `offset`."""
    names = frozenset(filters)
    return DEEP_PAGES[names] if names in DEEP_PAGES and offset >= DEEP else PAGES[names]
