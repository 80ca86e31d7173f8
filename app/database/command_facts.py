"""The facts of commands that changed nothing or came again, on the rows of their identities.

A command that did what it asks has its line in the history, and needs none. So the usual batch writes no facts.
"""

from collections.abc import Iterable
from typing import Any

from app.database.columns import arrays, unnest
from app.database.statement import Statement
from app.models.records import ReceivedCommand, Record, identity
from app.wire.command_types import COMMAND_TYPES

_COLUMNS = {
    "hash": "bytea",
    "type": "text",
    "correlation_id": "text",
    "order_id": "text",
    "saga_id": "text",
    "outcome": "text",
    "partition": "integer",
    "offset": "bigint",
    "repeats": "integer",
    "repeated_partition": "integer",
    "repeated_offset": "bigint",
}
# What is known of a command stays as it was written first. Two batches may have the same repeats, so the rows are
# locked in the order of their hashes. A repeated create finds its order by the saga.
WRITE_FACTS = Statement(
    "write_facts",
    arrays(_COLUMNS),
    "UPDATE command_identities AS known SET type = coalesce(known.type, n.type), "
    "correlation_id = coalesce(known.correlation_id, n.correlation_id), "
    "order_id = coalesce(known.order_id, n.order_id, "
    "(SELECT made.order_id FROM saga_orders AS made WHERE made.saga_id = n.saga_id)), "
    'outcome = coalesce(known.outcome, n.outcome), "partition" = coalesce(known."partition", n."partition"), '
    '"offset" = coalesce(known."offset", n."offset"), '
    "repeats = nullif(coalesce(known.repeats, 0) + n.repeats, 0), "
    "repeated_at = CASE WHEN n.repeats > 0 THEN now() ELSE known.repeated_at END, "
    "repeated_partition = coalesce(n.repeated_partition, known.repeated_partition), "
    "repeated_offset = coalesce(n.repeated_offset, known.repeated_offset) "
    f"FROM (SELECT n.* FROM {unnest(_COLUMNS)} JOIN command_identities AS held ON held.hash = n.hash "
    "ORDER BY held.hash FOR UPDATE OF held) AS n WHERE known.hash = n.hash",
)

Unfulfilled = tuple[Record, ReceivedCommand, str | None, str]
"""A command that changed nothing, with the order that it is about, and the refusal's code or `unchanged`."""


def fact_rows(
    partition: int, unfulfilled: Iterable[Unfulfilled], repeated: Iterable[tuple[Record, ReceivedCommand]]
) -> list[list[Any]]:
    """Return the rows for WRITE_FACTS: one for each identity, also where its bytes came several times."""
    rows: dict[bytes, dict[str, Any]] = {}
    for record, command, order_id, outcome in unfulfilled:
        row = _row(rows, record, command)
        row |= {"order_id": order_id, "outcome": outcome, "partition": partition, "offset": record.offset}
    for record, command in repeated:
        row = _row(rows, record, command)
        newest = record.offset if row["repeated_offset"] is None else max(record.offset, row["repeated_offset"])
        row |= {"repeats": row["repeats"] + 1, "repeated_partition": partition, "repeated_offset": newest}
    return [list(row.values()) for row in rows.values()]


def _row(rows: dict[bytes, dict[str, Any]], record: Record, command: ReceivedCommand) -> dict[str, Any]:
    """Return the row of the command's identity, a new one where there is none yet."""
    known_by = identity(record)
    is_create = COMMAND_TYPES[command.type].subject == "saga_id"
    known = {
        "hash": known_by,
        "type": command.type,
        "correlation_id": command.correlation_id,
        "order_id": command.order_id,
        "saga_id": command.saga_id if is_create else None,
        "repeats": 0,
    }
    return rows.setdefault(known_by, dict.fromkeys(_COLUMNS) | known)
