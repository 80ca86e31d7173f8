"""`list`, `show` and `timeline`: orders as they are, and how they came there."""

from dataclasses import asdict
from typing import Any

import click
from flask.cli import with_appcontext
from sqlalchemy import Connection, Row, Select, select

from app.cli.arguments import ID, limit_option
from app.cli.database import transaction
from app.cli.output import Failure, fields, json_option, print_json, print_record, print_table
from app.database.rows import to_state
from app.database.statements import ORDER
from app.models.models import Order, order_changes
from app.models.order import OrderState, OrderStatus

_orders = Order.__table__
_STATUSES = [status.value for status in OrderStatus]

LIST = {
    "order": "order_id",
    "status": "order_status",
    "payment": "payment_status",
    "customer": "cust_id",
    "runner": "runner_id",
    "food": "food_fee",
    "delivery": "delivery_fee",
    "version": "version",
    "created": "created_at",
}
TIMELINE = {
    "version": "version",
    "when": "at",
    "what": "kind",
    "from → to": "move",
    "payment": "payment_status",
    "runner": "runner_id",
    "door": "door",
    "correlation id": "correlation_id",
    "command at": "command",
}


@click.command("list")
@click.option("--status", type=click.Choice(_STATUSES, case_sensitive=False), help="Only orders in this status.")
@click.option("--runner", type=ID, help="Only orders of this runner.")
@click.option("--customer", type=ID, help="Only orders of this customer.")
@limit_option
@json_option
@with_appcontext
def list_orders(status: str | None, runner: str | None, customer: str | None, limit: int, as_json: bool) -> None:
    """List orders, newest first.

    \b
    Examples:
      flask orders list
      flask orders list --status on_the_way --runner runner-7 --limit 100
      flask orders list --customer customer-1 --json | jq '.orders[].orderId'
    """
    wanted = {"order_status": status, "runner_id": runner, "cust_id": customer}
    query = _select_orders().order_by(_orders.c.created_at.desc(), _orders.c.order_id.desc()).limit(limit)
    for column, value in wanted.items():
        if value is not None:
            query = query.where(_orders.c[column] == value)
    with transaction() as connection:
        found = [to_state(row) for row in connection.execute(query)]
    if as_json:
        print_json({"orders": [order.to_wire() for order in found]})
        return
    print_table(LIST, map(asdict, found))


@click.command("show")
@click.argument("order_id", type=ID)
@json_option
@with_appcontext
def show_order(order_id: str, as_json: bool) -> None:
    """Show everything about one order.

    \b
    Examples:
      flask orders show 01a20435-8cd0-7303-b4d3-9c5bde2f68e3
      flask orders show 01a20435-8cd0-7303-b4d3-9c5bde2f68e3 --json
    """
    with transaction() as connection:
        order = _find(connection, order_id).to_wire()
    if as_json:
        print_json(order)
    else:
        print_record(order.items())


@click.command("timeline")
@click.argument("order_id", type=ID)
@json_option
@with_appcontext
def timeline(order_id: str, as_json: bool) -> None:
    """Show how an order came to where it is: a line a change.

    An order that was taken over from the service before begins at version 2: of the first nobody kept a line.

    \b
    Examples:
      flask orders timeline 01a20435-8cd0-7303-b4d3-9c5bde2f68e3
      flask orders timeline 01a20435-8cd0-7303-b4d3-9c5bde2f68e3 --json | jq '.changes[-1]'
    """
    query = select(order_changes).where(order_changes.c.order_id == order_id).order_by(order_changes.c.version)
    with transaction(snapshot=True) as connection:
        _find(connection, order_id)
        lines = [_change(row) for row in connection.execute(query)]
    if as_json:
        print_json({"order_id": order_id, "changes": lines})
        return
    print_table(
        TIMELINE,
        [it | {"move": f"{it['from_status'] or '·'} → {it['to_status']}", "command": _place(it)} for it in lines],
    )


def _select_orders() -> Select[Any]:
    return select(*(_orders.c[column] for column in ORDER))


def _find(connection: Connection, order_id: str) -> OrderState:
    row = connection.execute(_select_orders().where(_orders.c.order_id == order_id)).first()
    if row is None:
        raise Failure(f"There is no order {order_id!r}.")
    return to_state(row)


def _change(row: Row[*tuple[Any, ...]]) -> dict[str, Any]:
    line = fields(row)
    del line["order_id"]
    names = {"created_at": "at", "source_topic": "topic", "source_partition": "partition", "source_offset": "offset"}
    return {names.get(name, name): value for name, value in line.items()}


def _place(line: dict[str, Any]) -> str | None:
    return None if line["topic"] is None else f"{line['topic']}/{line['partition']}/{line['offset']}"
