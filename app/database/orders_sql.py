"""The statements of orders: read some, write one, write many.

A change is one statement: the order, and from its RETURNING the history line, the outbox row and the stored answer. So
all of it happens or none, without a transaction block. The version guards an order against changes since it was read.
The answer is inserted last, without ON CONFLICT: a key that has one raises 23505 and undoes the order.

Both ways to write are made of the same parts: one change has its values in parameters (`$kind`), many have theirs in
the rows of arrays (`kind`).
"""

from app.database.answers_sql import ANSWER_TYPES, CLAIM, storing
from app.database.columns import arrays, columns, unnest
from app.database.statement import Statement
from app.models.models import Order

ORDER_COLUMNS = columns(Order.__table__)
ORDER_LIST = ", ".join(ORDER_COLUMNS)
CHANGING = [column for column in ORDER_COLUMNS if column not in ("order_id", "created_at")]
"""The columns that a change writes. A time of creation that we cannot read stays."""

_HISTORY_TYPES = {
    "change_id": "uuid",
    "kind": "text",
    "from_status": "text",
    "concerned": "text",
    "door": "text",
    "correlation_id": "text",
    "caller": "text",
    "traceparent": "text",
}
_EVENT_TYPES = {"type": "text", "payload": "bytea"}
_NEW_TYPES = {
    **ORDER_COLUMNS,
    **{name: kind for name, kind in _HISTORY_TYPES.items() if name != "from_status"},
    **_EVENT_TYPES,
}
_CHANGED_TYPES = {
    **{name: kind for name, kind in ORDER_COLUMNS.items() if name != "created_at"},
    **_HISTORY_TYPES,
    **_EVENT_TYPES,
}


# Reading

LOAD_ORDERS = Statement(
    "load_orders",
    {"order_ids": "text[]"},
    f"SELECT {ORDER_LIST} FROM orders WHERE order_id = ANY ($order_ids)",
)
LOCK_ORDERS = Statement(
    "lock_orders",
    {"order_ids": "text[]"},
    f"SELECT {ORDER_LIST} FROM orders WHERE order_id = ANY ($order_ids) ORDER BY order_id FOR UPDATE",
)
FIND_CHANGE = Statement(
    "find_change",
    {"order_id": "text", "version": "integer", "change_id": "uuid"},
    "SELECT 1 FROM order_changes WHERE order_id = $order_id AND version = $version AND change_id = $change_id",
)


# The parts of a write. The source has `order_id` and `version`; the rest are parameters, or columns of the source.

_HISTORY = """
history AS (
    INSERT INTO order_changes (order_id, version, change_id, kind, from_status, to_status, payment_status, runner_id,
        door, correlation_id, caller, traceparent)
    SELECT order_id, version, $change_id, $kind, $from_status, $order_status, $payment_status, $concerned,
        $door, $correlation_id, $caller, $traceparent
    FROM {source}
)"""
_EVENTS = """
    INSERT INTO outbox (event_id, aggregateid, type, correlation_id, version, payload, traceparent)
    SELECT $change_id, order_id, $type, $correlation_id, version, $payload, $traceparent
    FROM {source} WHERE $payload IS NOT NULL"""
_PARAMETERS = ", ".join(f"${column}" for column in ORDER_COLUMNS)
_INSERT = f"INSERT INTO orders ({ORDER_LIST}) SELECT {_PARAMETERS}"
_UPDATE = f"UPDATE orders SET {', '.join(f'{column} = ${column}' for column in CHANGING)}"
_GUARD = "WHERE order_id = $order_id AND version = $version - 1"


def _of_rows(part: str, source: str) -> str:
    """Return the part with columns in place of parameters."""
    return part.format(source=source).replace("$", "")


# Writing one

_NEW_HISTORY = _HISTORY.replace("$from_status", "NULL")
"""A new order had no status before."""


def _one(order: str, history: str) -> str:
    return f"""
changed AS (
    {order} RETURNING order_id, version
),{history.format(source="changed")},
event AS ({_EVENTS.format(source="changed")}
)"""


INSERT_ORDER = Statement("insert_order", _NEW_TYPES, f"WITH {_one(_INSERT, _NEW_HISTORY)} SELECT version FROM changed")
UPDATE_ORDER = Statement(
    "update_order", _CHANGED_TYPES, f"WITH {_one(f'{_UPDATE} {_GUARD}', _HISTORY)} SELECT version FROM changed"
)
INSERT_ORDER_UNDER_KEY = Statement(
    "insert_order_under_key",
    {**_NEW_TYPES, **ANSWER_TYPES},
    f"""WITH {CLAIM},{_one(f"{_INSERT} FROM claim", _NEW_HISTORY)},
stored AS ({storing("changed")}
)
SELECT version FROM changed""",
)
UPDATE_ORDER_UNDER_KEY = Statement(
    "update_order_under_key",
    {**_CHANGED_TYPES, **ANSWER_TYPES},
    f"""WITH {CLAIM},{_one(f"{_UPDATE} FROM claim {_GUARD}", _HISTORY)},
stored AS ({storing("changed")}
)
SELECT version FROM changed""",
)


# Writing many, without keys: none of these statements waits for a row that another transaction holds

INSERT_NEW = Statement(
    "insert_new",
    arrays(_NEW_TYPES),
    f"""WITH new AS (
    SELECT * FROM {unnest(_NEW_TYPES)}
),
made AS (
    INSERT INTO orders ({ORDER_LIST}) SELECT {ORDER_LIST} FROM new ORDER BY place
),{_of_rows(_NEW_HISTORY, "new")}
{_of_rows(_EVENTS, "new")} ORDER BY place""",
)
UPDATE_FREE = Statement(
    "update_free",
    arrays(_CHANGED_TYPES),
    f"""WITH new AS (
    SELECT * FROM {unnest(_CHANGED_TYPES)}
),
free AS MATERIALIZED (
    SELECT o.order_id FROM orders AS o JOIN new ON o.order_id = new.order_id
    WHERE o.version = new.version - 1 FOR UPDATE OF o SKIP LOCKED
),
changed AS (
    UPDATE orders AS o SET {", ".join(f"{column} = new.{column}" for column in CHANGING)}
    FROM new JOIN free USING (order_id) WHERE o.order_id = new.order_id AND o.version = new.version - 1
    RETURNING o.order_id
),
done AS (
    SELECT new.* FROM new JOIN changed USING (order_id)
),{_of_rows(_HISTORY, "done")},
events AS ({_of_rows(_EVENTS, "done")} ORDER BY place
)
SELECT order_id FROM changed""",
)
"""Each order once. Returns the ids of those that were as expected and that no other transaction held."""
