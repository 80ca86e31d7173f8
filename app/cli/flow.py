"""`flow`: what went through the service, minute by minute."""

import click

from app.cli import commands
from app.cli.output import Answer, looks, printable, table
from app.config.config import Settings
from app.operations.flow import DAY
from app.operations.flow import flow as operation

COLUMNS = (
    "minute=at, processes, created, changes=changed, refused, repeats, calls, 503=unavailable, p50 s=p50, p99 s=p99, "
    "lag, lag s=lag_seconds, outbox, outbox s=outbox_seconds"
)


@commands.command("flow")
@click.option("--minutes", type=click.IntRange(1, DAY), default=60, show_default=True, help="How far back.")
@looks
def flow(settings: Settings, minutes: int) -> Answer:
    """Show what went through the service, minute by minute, and what happened meanwhile.

    A line has: how many processes told it, orders created, all changes, refusals, repeats, calls over HTTP and how many
    of them got 503, the seconds in which half and 99 % of them were answered, and the worst of what waited: commands
    and events of the outbox, in records and in seconds of the oldest. A dash: nobody knows.

    \b
    Examples:
      flask orders flow
      flask orders flow --minutes 5
      flask orders flow --minutes 1440 --json | jq '.minutes[] | select(.unavailable > 0)'
    """
    found = operation(settings, minutes=minutes)
    lines = [table(COLUMNS, found.minutes)]
    lines += [f"{printable(mark.at)}  {printable(mark.text)}" for mark in found.marks]
    if found.more_marks:
        lines.append(f"And {found.more_marks} things that happened before.")
    if found.more_rows:
        lines.append("Older figures are left out: there are too many.")
    return Answer(found, "\n".join(lines))
