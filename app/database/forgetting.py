"""The statements that find what is stored about a person, in portions that keep nobody waiting."""

from app.database.floor import ABOVE_DELTA_FLOOR
from app.database.orders_sql import ORDER_LIST
from app.database.statement import Statement
from app.models.forgetting import Role

_COLUMN = {Role.CUSTOMER: "cust_id", Role.RUNNER: "runner_id"}


ORDERS_OF = {
    role: Statement(
        f"orders_of_{role}",
        {"id": "text", "statuses": "text[]", "limit": "integer"},
        f"SELECT {ORDER_LIST} FROM orders WHERE {column} = $id AND order_status = ANY ($statuses) "
        "ORDER BY created_at, order_id LIMIT $limit",
    )
    for role, column in _COLUMN.items()
}
DELTAS_OF = {
    role: Statement(
        f"deltas_of_{role}",
        {"id": "text"},
        f"SELECT 1 FROM order_count_deltas WHERE {column} = $id AND {ABOVE_DELTA_FLOOR} LIMIT 1",
    )
    for role, column in _COLUMN.items()
}
DROP_COUNT = Statement(
    "drop_count",
    {"kind": "text", "value": "text"},
    "DELETE FROM order_counts WHERE kind = $kind AND value = $value AND orders = 0 RETURNING 1",
)
"""A count of nothing: whoever folds into it meanwhile makes it anew."""
HAS_COUNT = Statement(
    "has_count",
    {"kind": "text", "value": "text"},
    "SELECT 1 FROM order_counts WHERE kind = $kind AND value = $value",
)
