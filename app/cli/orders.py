"""`list`, `show` and `timeline`: orders as they are, and how they came there."""

import click

from app.cli import commands
from app.cli.arguments import ID, limit_option
from app.cli.output import Answer, looks, record, table
from app.config.config import Settings
from app.models.order import OrderStatus
from app.operations import orders

_status = click.Choice([status.value for status in OrderStatus], case_sensitive=False)


@commands.command("list")
@click.option("--status", type=_status, help="Only orders in this status.")
@click.option("--runner", type=ID, help="Only orders of this runner.")
@click.option("--customer", type=ID, help="Only orders of this customer.")
@limit_option
@looks
def list_orders(settings: Settings, status: str | None, runner: str | None, customer: str | None, limit: int) -> Answer:
    """List orders, newest first.

    \b
    Examples:
      flask orders list
      flask orders list --status on_the_way --runner runner-7 --limit 100
      flask orders list --customer customer-1 --json | jq '.orders[].orderId'
    """
    found = orders.find(settings, status=status, runner=runner, customer=customer, limit=limit)
    columns = (
        "order=order_id, status=order_status, payment=payment_status, customer=cust_id, runner=runner_id, "
        "food=food_fee, delivery=delivery_fee, version, created=created_at"
    )
    return Answer({"orders": [order.to_wire() for order in found]}, table(columns, found))


@commands.command("show")
@click.argument("order_id", type=ID)
@looks
def show_order(settings: Settings, order_id: str) -> Answer:
    """Show everything about one order.

    \b
    Examples:
      flask orders show 01a20435-8cd0-7303-b4d3-9c5bde2f68e3
      flask orders show 01a20435-8cd0-7303-b4d3-9c5bde2f68e3 --json
    """
    order = orders.show(settings, order_id).to_wire()
    return Answer(order, record(order.items()))


@commands.command("timeline")
@click.argument("order_id", type=ID)
@looks
def timeline(settings: Settings, order_id: str) -> Answer:
    """Show how an order came to where it is: a line a change.

    An order that was taken over from the service before begins at version 2: of the first nobody kept a line.

    \b
    Examples:
      flask orders timeline 01a20435-8cd0-7303-b4d3-9c5bde2f68e3
      flask orders timeline 01a20435-8cd0-7303-b4d3-9c5bde2f68e3 --json | jq '.changes[-1]'
    """
    lines = orders.timeline(settings, order_id)
    columns = (
        "version, when=at, what=kind, from → to=move, payment=payment_status, runner=runner_id, door, caller, "
        "correlation id=correlation_id, command at=command"
    )
    return Answer({"order_id": order_id, "changes": lines}, table(columns, lines))
