"""A database of the run over one connection, and the orders in it: loaded through SQL, counted, settled."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import psycopg2
from psycopg2.extras import RealDictCursor

from tests.harness.waiting import until

CUSTOMERS, RUNNERS = 50_000, 5_000
DAYS = 90
CHUNK = 500_000
SETTLE_SECONDS = 300.0  # after a million orders were loaded
NEW_COUNTS = 100
# How often each status is loaded: most orders are done.
STATUSES = [*11 * ["COMPLETED"], *2 * ["CREATED"], *2 * ["CANCELLED"]]
STATUSES += ["PENDING", "ACCEPTED", "PLACED", "ON_THE_WAY", "DELIVERED"]
HELD = ["ACCEPTED", "PLACED", "ON_THE_WAY", "DELIVERED", "COMPLETED"]

# Customers and runners by Zipf's law; ids as the service makes them, of the time when the order was made.
_LOAD = """
INSERT INTO orders (order_id, cust_id, runner_id, order_description, food_fee, delivery_fee, store_location,
    delivery_location, order_status, created_at, updated_at, accepted_at, completed_at, payment_status, version)
SELECT uuidv7(-age)::text, 'customer-' || zipf_customer, CASE WHEN held THEN 'runner-' || zipf_runner END,
    '[{"name":"Burrito","price":8.5,"quantity":2},{"name":"Lemonade","price":2.75,"quantity":1}]', 19.75, 2.99,
    'Food court', 'Library', status, at, at, CASE WHEN held THEN at END, CASE status WHEN 'COMPLETED' THEN at END,
    'PENDING', 1
FROM (
    SELECT age, status, status = ANY (%(held)s) AS held, (now() AT TIME ZONE 'UTC') - age AS at,
        floor(exp(random() * ln(%(customers)s)))::int AS zipf_customer,
        floor(exp(random() * ln(%(runners)s)))::int AS zipf_runner
    FROM (
        SELECT (%(orders)s - n) * make_interval(secs => %(step)s) AS age,
            (%(statuses)s)[1 + floor(random() * cardinality(%(statuses)s))::int] AS status
        FROM generate_series(%(first)s, %(last)s) AS n
    ) AS aged
) AS made
"""

_UUIDV7 = """
CREATE FUNCTION uuidv7(shift interval) RETURNS uuid LANGUAGE sql VOLATILE AS $$
    SELECT (lpad(to_hex((extract(epoch FROM clock_timestamp() + shift) * 1000)::bigint), 12, '0')
        || '7' || substr(md5(random()::text), 1, 19))::uuid
$$
"""


class Database:
    """One database. Every method blocks for its statements and raises psycopg2's errors."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._connection = psycopg2.connect(url)
        self._connection.autocommit = True

    def rows(self, statement: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """Run a statement and return its rows."""
        with self._connection.cursor() as cursor:
            cursor.execute(statement, parameters or None)
            return [] if cursor.description is None else cursor.fetchall()  # it is empty without columns

    def fill(self, statement: str, named: Mapping[str, Any]) -> None:
        """Run a statement with named parameters."""
        with self._connection.cursor() as cursor:
            cursor.execute(statement, named)

    def number(self, statement: str, *parameters: Any) -> int:
        """Return the one number that a statement asks for."""
        return int(self.rows(statement, *parameters)[0][0])

    def orders(self, order_ids: Sequence[str]) -> dict[str, Mapping[str, Any]]:
        """Return the rows of these orders, by id."""
        with self._connection.cursor(cursor_factory=RealDictCursor) as cursor:
            cursor.execute("SELECT * FROM orders WHERE order_id = ANY (%s)", (list(order_ids),))
            return {row["order_id"]: row for row in cursor.fetchall()}

    def load(self, orders: int, statuses: Sequence[str] = tuple(STATUSES)) -> None:
        """Insert so many orders of the last DAYS days, the same ones but for their times; `settle_loaded` is next."""
        if not self.rows("SELECT FROM pg_proc WHERE proname = 'uuidv7'"):  # PostgreSQL 17 and older
            self.rows(_UUIDV7)
        self.rows("SELECT setseed(0.5)")
        given: dict[str, Any] = {"orders": orders, "step": DAYS * 86400 / orders}
        given |= {"customers": CUSTOMERS, "runners": RUNNERS, "statuses": list(statuses), "held": HELD}
        for first in range(1, orders + 1, CHUNK):
            self.fill(_LOAD, given | {"first": first, "last": min(first + CHUNK - 1, orders)})

    def write_values(self, path: Path, statement: str, *parameters: Any) -> Path:
        """Write what a statement returns to a file, a value a line."""
        path.write_text("".join(f"{value}\n" for (value,) in self.rows(statement, *parameters)))
        return path

    def settle(self, seconds: float = SETTLE_SECONDS) -> None:
        """Block until every event has left the outbox and, where orders are counted, what is new is counted."""
        until(lambda: not self.number("SELECT count(*) FROM outbox"), "an empty outbox", seconds)
        if self.rows("SELECT to_regclass('order_count_deltas')") != [(None,)]:
            until(self._counted, "counts that are folded", seconds)

    def settle_loaded(self, seconds: float = SETTLE_SECONDS) -> None:
        """Settle what was loaded, and clear up behind it as autovacuum would in a while: what is measured is not that.

        Counts are folded by this service, which must run.
        """
        self.settle(seconds)
        self.rows("VACUUM ANALYZE")

    def _counted(self) -> bool:
        new = self.number("SELECT count(*) FROM order_count_deltas")
        time.sleep(min(new / 1_000_000, 1.0))  # the looking itself must not be what the machine is busy with
        return new <= NEW_COUNTS

    def stop_counting(self) -> None:
        """Drop the triggers on orders: a peer does not pay for what only this service reads."""
        triggers = self.rows("SELECT tgname FROM pg_trigger WHERE tgrelid = 'orders'::regclass AND NOT tgisinternal")
        for (trigger,) in triggers:
            self.rows(f"DROP TRIGGER {trigger} ON orders")

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()
