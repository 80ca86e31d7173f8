"""`moves`, `simulate` and `do`: what may be done to an order now, what exactly that would do, and that done."""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

import click

from app.cli import commands
from app.cli.arguments import ID
from app.cli.output import Answer, changes, looks, record, table
from app.config.config import Settings
from app.operations import moves as operations
from app.operations.audit import Operator
from app.operations.moves import CarriedOut, Difference, Move, Simulation


class Value(click.ParamType[tuple[str, str]]):
    """`name=value`."""

    name = "name=value"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        """Return name and value, or end the command with a sentence."""
        name, sign, given = str(value).partition("=")
        if not sign or not name:
            self.fail("it must be name=value", param, ctx)
        return name, str(ID.convert(given, param, ctx))


set_option: Callable[[Callable[..., Any]], Callable[..., Any]] = click.option(
    "--set",
    "values",
    type=Value(),
    multiple=True,
    callback=lambda _, __, given: dict(given),
    help="A value that the move takes; may be given several times.",
)


@commands.command("moves")
@click.argument("order_id", type=ID)
@looks
def moves(settings: Settings, order_id: str) -> Answer:
    """Show what each operation of the contract would do to the order now.

    GO: it changes the order. SAME: it succeeds and changes nothing. NO: it is refused, and the code says why.

    \b
    Examples:
      flask orders moves 01a20435-8cd0-7303-b4d3-9c5bde2f68e3
      flask orders moves 01a20435-8cd0-7303-b4d3-9c5bde2f68e3 --json | jq '.moves[] | select(.verdict == "GO").name'
    """
    found = operations.moves(settings, order_id)
    rows = [_Row(move) for move in found]
    columns = "move, door, verdict, when=given, refused with=refused, takes"
    return Answer({"order_id": order_id, "moves": found}, table(columns, rows))


@commands.command("simulate")
@click.argument("order_id", type=ID)
@click.argument("move")
@set_option
@looks
def simulate(settings: Settings, order_id: str, move: str, values: dict[str, str]) -> Answer:
    """Show what a move would do to the order, without doing it.

    The service's own code does it in a transaction that is rolled back. Shown are the difference, the event as it would
    be sent (but for its id and times), and what a caller would be answered. `do` then does it to just this version.

    \b
    Examples:
      flask orders simulate 01a2… cancelOrder
      flask orders simulate 01a2… updateOrderStatus --set status=DELIVERED
      flask orders simulate 01a2… cancel_order --set 'reason=no runner' --json    (the command, and its reply)
    """
    found = operations.simulate(settings, order_id, move, values)
    return Answer(_document(found), _simulated(found))


@commands.command("do")
@click.argument("order_id", type=ID)
@click.argument("move")
@set_option
@click.option("--version", type=click.IntRange(1), required=True, help="The version that `simulate` showed.")
@click.option("--reason", type=ID, required=True, help="Why; the audit keeps it, so it must not name a person.")
@changes
def carry_out(
    operator: Operator, order_id: str, move: str, values: dict[str, str], version: int, reason: str
) -> Answer:
    """Do a move to exactly this version of the order, or nothing.

    It is a change like that of a caller, with its event; the history names you. Once the order has moved on, nothing is
    done and one sentence says so.

    \b
    Examples:
      flask orders do 01a2… cancelOrder --version 2 --reason 'the shop burnt down'
      flask orders do 01a2… updateOrderStatus --set status=DELIVERED --version 6 --reason 'ticket 42' --as alice
    """
    done = operations.carry_out(operator, order_id, move, values, version=version, reason=reason)
    sentence = f"Order {done.order_id} has version {done.version} now, by {done.move}. Its event: {done.event_type}."
    return Answer(_document(done), f"{sentence}\n\n{_differences(done.differences)}")


class _Row:
    """A move in one line."""

    def __init__(self, move: Move) -> None:
        self.move, self.door, self.verdict, self.given = move.name, move.door, move.verdict, move.given
        self.refused = None if move.code is None else f"{move.code}: {move.refusal}"
        self.takes = ", ".join(f"{it.name}{'' if it.is_required else '?'}" for it in move.parameters) or None


def _simulated(found: Simulation) -> str:
    refused = None if found.code is None else f"{found.code}: {found.refusal}"
    fields: list[tuple[str, Any]] = [
        ("order", found.order_id),
        ("version now", found.version),
        ("move", found.move),
        ("verdict", found.verdict),
        ("refused with", refused),
    ]
    if found.body is not None:
        fields.append(("a caller gets", f"{found.status} {found.body.decode()}"))
    if found.event is not None:
        partition = "unknown" if found.partition is None else found.partition
        fields += [("event", found.event_type), ("to", f"{found.topic}, partition {partition}, key {found.key}")]
        fields += [("value", found.event)]
    parts = [record(fields), _differences(found.differences) if found.differences else "", *found.notes]
    return "\n\n".join(part for part in parts if part)


def _differences(found: Sequence[Difference]) -> str:
    return table("field, before, after", found)


def _document(found: Simulation | CarriedOut) -> dict[str, Any]:
    """Return it with text and JSON in place of bytes."""
    document = asdict(found)
    document["body"] = None if found.body is None else json.loads(found.body)
    if isinstance(found, Simulation):
        document["event"] = None if found.event is None else found.event.decode()
    return document
