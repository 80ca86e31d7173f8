"""`search`: what has this id, whatever kind of id it is."""

from collections.abc import Iterable, Iterator
from typing import Any

import click

from app.cli import commands
from app.cli.arguments import ID, limit_option
from app.cli.output import Answer, looks, printable, table
from app.config.config import Settings
from app.operations import search as operations
from app.operations.search import Found

ORDERS = "order=order_id, status=order_status, payment=payment_status, version, created=created_at, saga=saga_id"
COMMANDS = (
    "command at=place, type, order=order_id, correlation id=correlation_id, came of it=outcome, repeats, when=at, "
    "kept as=kept_as"
)
KEYS = "key, path, status, order=order_id, when=at"
REFUSED = "refused at=path, came of it=outcome, times, key, correlation id=correlation_id, order=order_id, last=at"
RECORDS = (
    "record at=place, kind, when=at, key, type, event id=event_id, correlation id=correlation_id, order=order_id, bytes"
)


@commands.command("search")
@click.argument("text", type=ID)
@limit_option
@looks
def search(settings: Settings, text: str, limit: int) -> Answer:
    """Find what has this id: of an order, saga, correlation, event, customer or runner, or an Idempotency-Key.

    TOPIC/PARTITION/OFFSET finds the record at that place of the commands, events or dead letters, and its order.

    \b
    Examples:
      flask orders search 01a20435-8cd0-7303-b4d3-9c5bde2f68e3
      flask orders search saga-17 --json | jq '.orders[].orderId'
      flask orders search order_commands/0/4711
    """
    found = operations.search(settings, text, limit=limit)
    document = {
        "orders": [order.to_wire() | {"foundBy": found.by[order.order_id]} for order in found.orders],
        "commands": found.commands,
        "keys": found.keys,
        "refused": found.refused,
        "records": found.records,
        "notes": found.notes,
        "seconds": round(found.seconds, 4),
        "log_seconds": None if found.log_seconds is None else round(found.log_seconds, 4),
    }
    return Answer(document, "\n\n".join(_parts(found)))


def _parts(found: Found) -> Iterator[str]:
    parts: list[tuple[str, Iterable[Any]]] = [
        (ORDERS, found.orders),
        (COMMANDS, found.commands),
        (KEYS, found.keys),
        (REFUSED, found.refused),
        (RECORDS, found.records),
    ]
    shown = [table(columns, rows) for columns, rows in parts if rows]
    yield from shown or ["Nothing has this id."]
    if found.notes:
        yield "\n".join(printable(note) for note in found.notes)
