"""The service that is replaced, as far as its data shows: its table, its rows, its offsets."""

from datetime import UTC
from typing import Any

import psycopg2
import psycopg2.extras

TABLE = """
CREATE TABLE orders (
    order_id varchar(36) PRIMARY KEY,
    cust_id varchar(36) NOT NULL,
    runner_id varchar(36),
    order_description text NOT NULL,
    food_fee numeric(5, 2) NOT NULL,
    delivery_fee numeric(5, 2) NOT NULL,
    store_location varchar(255),
    delivery_location varchar(255) NOT NULL,
    order_status {status_type},
    saga_id varchar(36),
    created_at timestamp NOT NULL,
    updated_at timestamp NOT NULL,
    accepted_at timestamp,
    placed_at timestamp,
    picked_up_at timestamp,
    delivered_at timestamp,
    completed_at timestamp,
    cancelled_at timestamp
);
CREATE INDEX ix_orders_cust_id ON orders (cust_id);
CREATE INDEX ix_orders_runner_id ON orders (runner_id);
CREATE INDEX ix_orders_order_status ON orders (order_status);
CREATE INDEX ix_orders_saga_id ON orders (saga_id);
"""

STATUSES = ("PENDING", "CREATED", "ACCEPTED", "PLACED", "ON_THE_WAY", "DELIVERED", "COMPLETED", "CANCELLED")
ENUM = f"CREATE TYPE orderstatus AS ENUM ({', '.join(repr(status) for status in STATUSES)});"
STATUS_TYPES = {"varchar": "varchar(10)", "enum": "orderstatus"}

# Every status; times, runner and places there or not; every tenth row shares its saga id with the row before it.
ROWS = """
INSERT INTO orders
SELECT md5(n::text)::uuid::text, 'customer-' || n % 977,
    CASE WHEN n % 8 BETWEEN 2 AND 6 THEN 'runner-' || n % 101 END,
    '[{{"item_name": "Dish ' || n || '", "price": 1.5, "quantity": 2, "note": "ä\\"b"}}]',
    (n % 99999) / 100.0, (n % 700) / 100.0,
    CASE WHEN n % 3 > 0 THEN 'Store ' || n % 50 END, 'Dorm ' || n % 200,
    (ARRAY['PENDING', 'CREATED', 'ACCEPTED', 'PLACED', 'ON_THE_WAY', 'DELIVERED', 'COMPLETED', 'CANCELLED'])
        [n % 8 + 1]{cast},
    CASE WHEN n % 10 = 0 THEN 'saga-' || n - 1 WHEN n % 2 = 1 THEN 'saga-' || n END,
    timestamp '2025-01-01' + n * interval '61.000001 seconds', timestamp '2025-01-02' + n * interval '61 seconds',
    CASE WHEN n % 8 BETWEEN 2 AND 6 THEN timestamp '2025-01-01 12:00:00.5' END,
    CASE WHEN n % 8 BETWEEN 3 AND 6 THEN timestamp '2025-01-01 12:05:00' END,
    CASE WHEN n % 8 BETWEEN 4 AND 6 THEN timestamp '2025-01-01 12:10:00' END,
    CASE WHEN n % 8 BETWEEN 5 AND 6 THEN timestamp '2025-01-01 12:20:00' END,
    CASE WHEN n % 8 = 6 THEN timestamp '2025-01-01 12:30:00' END,
    CASE WHEN n % 8 = 7 THEN timestamp '2025-01-01 12:40:00' END
FROM generate_series(1, {rows}) AS n
"""

_WIRE = {
    "order_id": "orderId",
    "cust_id": "custId",
    "runner_id": "runnerId",
    "order_description": "orderDescription",
    "food_fee": "foodFee",
    "delivery_fee": "deliveryFee",
    "store_location": "storeLocation",
    "delivery_location": "deliveryLocation",
    "order_status": "orderStatus",
    "saga_id": "sagaId",
    "created_at": "createdAt",
    "updated_at": "updatedAt",
    "accepted_at": "acceptedAt",
    "placed_at": "placedAt",
    "picked_up_at": "pickedUpAt",
    "delivered_at": "deliveredAt",
    "completed_at": "completedAt",
    "cancelled_at": "cancelledAt",
}


def leave_behind(database_url: str, rows: int, status_type: str) -> dict[str, dict[str, Any]]:
    """Make the table with `rows` rows; return what each order must look like over HTTP, by its id."""
    with psycopg2.connect(database_url) as connection, connection.cursor() as cursor:
        if status_type == "enum":
            cursor.execute(ENUM)
        cursor.execute(TABLE.format(status_type=STATUS_TYPES[status_type]))
        cursor.execute(ROWS.format(cast="::orderstatus" if status_type == "enum" else "", rows=rows))
    connection.close()
    return read_rows(database_url)


def read_rows(database_url: str) -> dict[str, dict[str, Any]]:
    """Return the orders as the wire must show them, by their id."""
    connection = psycopg2.connect(database_url)
    with connection, connection.cursor(cursor_factory=psycopg2.extras.RealDictCursor) as cursor:
        cursor.execute(f"SELECT {', '.join(_WIRE)} FROM orders")
        orders = {row["order_id"]: _as_wire(row) for row in cursor}
    connection.close()
    return orders


def _as_wire(row: dict[str, Any]) -> dict[str, Any]:
    order = {wire: row[column] for column, wire in _WIRE.items()}
    for name, value in order.items():
        if name.endswith("At") and value is not None:
            order[name] = value.replace(tzinfo=UTC).isoformat()
    return order | {"foodFee": float(order["foodFee"]), "deliveryFee": float(order["deliveryFee"])}
