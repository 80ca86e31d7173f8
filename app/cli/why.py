"""`why`: what an order, a saga or a command waits for."""

import click

from app.cli import commands
from app.cli.arguments import ID
from app.cli.output import Answer, looks, printable
from app.config.config import Settings
from app.operations import why as operation

_MARKS = {True: "ok", False: "CAUSE", None: "?"}


@commands.command("why")
@click.argument("some_id", metavar="ID", type=ID)
@looks
def why(settings: Settings, some_id: str) -> Answer:
    """Say why an order, a saga or a command waits, and what heals it.

    ID is an order, saga, correlation or event id, an Idempotency-Key, or topic/partition/offset of a command or an
    event. The checks follow the way of a command; the first that fails is the cause. It only looks, and takes 8 s at
    the longest. What could not be asked has a question mark.

    \b
    Examples:
      flask orders why 01a20435-8cd0-7303-b4d3-9c5bde2f68e3
      flask orders why order_commands/2/4711
      flask orders why saga-17 --json | jq '.cause'
    """
    found = operation.why(settings, some_id)
    lines = [printable(found.subject)]
    for check in found.checks:
        lines.append(f"{_MARKS[check.ok]:<6} {check.name}: {printable(check.says)}")
        lines += [f"       - {printable(each)}" for each in check.evidence]
        if check.heals is not None and check.ok is not True:
            lines.append(f"       → {printable(check.heals)}")
    return Answer(found, "\n".join(lines))
