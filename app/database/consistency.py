"""What must be true between the tables, as queries that find where it is not. All of it is read at one instant."""

from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import Connection, text

from app.wire.command_types import COMMAND_TYPES

EXAMPLES = 3

_KINDS = "kinds_of_order(order_status, cust_id, runner_id, created_at) AS kinds"
MISCOUNTED = text(
    "SELECT concat(kind, ' ', value, ' (', sum(counted), ', there are ', sum(found), ')') AS example FROM ("
    "SELECT kind, value, orders AS counted, 0 AS found FROM order_counts "
    f"UNION ALL SELECT kinds.kind, kinds.value, sign, 0 FROM order_count_deltas, {_KINDS} "
    f"UNION ALL SELECT kinds.kind, kinds.value, 0, 1 FROM orders, {_KINDS}"
    ") AS both_ways GROUP BY kind, value HAVING sum(counted) <> sum(found)"
)
# An order that was taken over has version 1 and no line of it.
_HISTORY = (
    "(SELECT order_id, min(version) AS lowest, max(version) AS highest, count(*) AS lines FROM order_changes "
    "GROUP BY order_id) AS history"
)
_EVENT = "concat(id, ' (', type, ' of ', aggregateid, ')')"

CHECKS = {
    "version": (
        "The version of an order is not that of its last line of history",
        "SELECT concat(order_id, ' (', version, ', history ', coalesce(highest, 1), ')') "
        f"FROM orders LEFT JOIN {_HISTORY} USING (order_id) WHERE version <> coalesce(highest, 1)",
    ),
    "gap": (
        "The history of an order has a gap, or does not begin at version 1 or 2",
        f"SELECT concat(order_id, ' (', lowest, ' to ', highest, ')') FROM {_HISTORY} "
        "WHERE lowest NOT IN (1, 2) OR lines <> highest - lowest + 1",
    ),
    "status": (
        "The status of an order is not that of its last line of history",
        "SELECT concat(order_id, ' (', order_status, ', history ', last.to_status, ')') "
        f"FROM orders JOIN {_HISTORY} USING (order_id) JOIN order_changes AS last USING (order_id) "
        "WHERE last.version = highest "
        "AND (order_status <> last.to_status OR orders.payment_status <> last.payment_status)",
    ),
    "history_without_order": (
        "There is history of an order that is not there",
        f"SELECT order_id FROM {_HISTORY} WHERE NOT EXISTS "
        "(SELECT FROM orders WHERE orders.order_id = history.order_id)",
    ),
    "event_without_history": (
        "An event in the outbox has a version that is not in the history",
        f"SELECT {_EVENT} FROM outbox WHERE version IS NOT NULL AND NOT EXISTS (SELECT FROM order_changes AS line "
        "WHERE line.order_id = aggregateid AND line.version = outbox.version)",
    ),
    "event_without_order": (
        "An event in the outbox is about an order that is not there",
        f"SELECT {_EVENT} FROM outbox WHERE type <> ALL (:refusals) "
        "AND NOT EXISTS (SELECT FROM orders WHERE order_id = aggregateid)",
    ),
    "late_event": (
        "An event has waited in the outbox for over {late} s",
        f"SELECT {_EVENT} FROM outbox WHERE created_at < now() - :late",
    ),
    "lost_event": (
        "Kafka has lost an event that it had acknowledged (see `flask orders outbox announce-again`)",
        "SELECT concat(order_id, ' (version ', version, ')') FROM lost_events WHERE announced_at IS NULL "
        "ORDER BY order_id, version",
    ),
    "taken_out_event": (
        "An event was taken out of the outbox: consumers have a hole (see `flask orders outbox put-back`)",
        "SELECT concat(outbox_id, ' (', type, ' of ', aggregateid, ', version ', version, ')') FROM taken_out_events "
        "WHERE put_back_at IS NULL",
    ),
    "saga_without_order": (
        "A saga id points to an order that is not there, or that is another saga's",
        "SELECT concat(saga_id, ' (', order_id, ')') FROM saga_orders AS saga WHERE NOT EXISTS "
        "(SELECT FROM orders WHERE order_id = saga.order_id AND saga_id = saga.saga_id)",
    ),
    "order_without_saga": (
        "An order was made by a saga id that is not remembered: sent again it would make a second order",
        "SELECT concat(order_id, ' (', saga_id, ')') FROM orders WHERE saga_id IS NOT NULL "
        "AND NOT EXISTS (SELECT FROM saga_orders AS saga WHERE saga.saga_id = orders.saga_id)",
    ),
    "late_dead_letter": (
        "A dead letter has waited to be sent for over {late} s",
        "SELECT concat(id, ' (', error, ')') FROM dead_letters WHERE sent_at IS NULL AND created_at < now() - :late",
    ),
    "count": ("The number of orders of a list is wrong (see `flask orders recount`)", MISCOUNTED.text),
    "count_unseen": (
        "A change of an order lies below the floor of the counts, so lists miss it (see `flask orders recount`)",
        "SELECT concat(id, ' (', sign, ' ', order_status, ')') FROM order_count_deltas "
        "WHERE id <= (SELECT max(id) FROM order_count_floors)",
    ),
}
"""By name, what is wrong in one sentence, and a query with an example a row."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is wrong, in one sentence with EXAMPLES examples at most."""

    check: str
    count: int
    sentence: str
    examples: tuple[str, ...]

    def __str__(self) -> str:
        more = f" and {self.count - len(self.examples)} more" if self.count > len(self.examples) else ""
        return f"{self.sentence}: {', '.join(self.examples)}{more}." if self.examples else f"{self.sentence}."


def examine(connection: Connection, late_seconds: int) -> list[Finding]:
    """Return everything that is wrong between the tables. Blocks for some seconds per million changes."""
    given = {"late": timedelta(seconds=late_seconds), "refusals": [kind.failure for kind in COMMAND_TYPES.values()]}
    found = []
    for check, (sentence, query) in CHECKS.items():
        counted = f"SELECT example, count(*) OVER () FROM ({query}) AS wrong (example) LIMIT {EXAMPLES}"
        rows = connection.execute(text(counted), given).all()
        if rows:
            examples = tuple(row[0] for row in rows)
            found.append(Finding(check, rows[0][1], sentence.format(late=late_seconds), examples))
    return found


def count(connection: Connection) -> dict[str, int]:
    """Return how many rows were compared, by table."""
    tables = ("orders", "order_changes", "saga_orders", "outbox", "dead_letters")
    return {table: connection.scalar(text(f"SELECT count(*) FROM {table}")) or 0 for table in tables}
