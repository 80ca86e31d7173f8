"""`list`, `show` and `timeline`: orders as they are, and how they came there."""

import click

from app.cli import commands
from app.cli.arguments import ID, limit_option
from app.cli.output import Answer, columns, looks, printable, record, table
from app.config.config import Settings
from app.models.order import OrderStatus
from app.operations import orders
from app.operations import timeline as timelines
from app.operations.timeline import Became, Came, Entry, Went

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
    shown = (
        "order=order_id, status=order_status, payment=payment_status, customer=cust_id, runner=runner_id, "
        "food=food_fee, delivery=delivery_fee, version, created=created_at"
    )
    return Answer({"orders": [order.to_wire() for order in found]}, table(shown, found))


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
@click.option("--without-log", is_flag=True, help="Do not ask Kafka: where records lie, and who has passed them.")
@looks
def timeline(settings: Settings, order_id: str, *, without_log: bool) -> Answer:
    """Show how an order came to where it is: what came in, what it became, what went out.

    Refused, unchanged and repeated commands are lines too. Kafka is asked for a second where records lie, and which
    groups have passed them. An order that was taken over from the service before begins at version 2: of the first
    nobody kept a line.

    \b
    Examples:
      flask orders timeline 01a20435-8cd0-7303-b4d3-9c5bde2f68e3
      flask orders timeline 01a20435-8cd0-7303-b4d3-9c5bde2f68e3 --without-log
      flask orders timeline 01a20435-8cd0-7303-b4d3-9c5bde2f68e3 --json | jq '.changes[-1]'
    """
    found = timelines.timeline(settings, order_id, with_log=not without_log)
    rows = [(_when(entry), _came(entry.came), _became(entry.became), _went(entry.went)) for entry in found.entries]
    text = columns(("when", "what came in", "what the order became", "what went out"), rows)
    document = {"order_id": order_id, "changes": found.changes, "entries": found.entries, "notes": found.notes}
    return Answer(document, "\n".join((text, *found.notes)))


def _when(entry: Entry) -> list[object]:
    hops = ("handled", entry.took.to_change), ("sent", entry.took.to_log)
    return [entry.at, *(_hop(name, seconds) for name, seconds in hops if seconds is not None)]


def _hop(name: str, seconds: float) -> str:
    if seconds < 0:
        return f"{name} {-seconds} s before its record's time: the clocks differ"
    return f"{name} after {seconds} s"


def _came(came: Came | None) -> list[object]:
    if came is None:
        return []
    times = f" ({came.times})" if came.times else ""
    told = (
        ("", f"{came.door}: {came.kind}{f', {came.outcome}' if came.outcome else ''}{times}"),
        ("caller ", came.caller),
        ("correlation id ", came.correlation_id),
        ("key ", came.key),
        ("trace ", came.trace_id),
        ("at ", came.place),
    )
    return [f"{name}{value}" for name, value in told if value is not None]


def _became(became: Became | None) -> list[object]:
    if became is None:
        return ["nothing else"]
    return [
        f"version {became.version}",
        *(f"{one.name}: {one.before or '·'} → {one.after or '·'}" for one in became.differences),
    ]


def _went(went: Went | None) -> list[object]:
    if went is None:
        return []
    version = "" if went.version is None else f", version {went.version}"
    passed = [group for group, has_passed in went.groups.items() if has_passed]
    before = [group for group, has_passed in went.groups.items() if not has_passed]
    return [
        f"{went.type or 'event'}{version}",
        *([f"at {went.place}"] if went.place else ()),
        f"{went.state} {printable(went.acknowledged_at)}" if went.acknowledged_at else went.state,
        *([f"passed by {', '.join(passed)}"] if passed else ()),
        *([f"before it stand {', '.join(before)}"] if before else ()),
    ]
