"""`waits`: which orders have been in their status the longest, and which for longer than is usual."""

from app.cli import commands
from app.cli.arguments import limit_option
from app.cli.output import Answer, looks, table
from app.config.config import Settings
from app.operations import waits as operations


@commands.command("waits")
@limit_option
@looks
def waits(settings: Settings, limit: int) -> Answer:
    """Show the unfinished orders that have been in their status the longest.

    Beside each is how long 95 of 100 orders were in that status during the last day (a sample of the history), and
    whether this one is over it.

    \b
    Examples:
      flask orders waits
      flask orders waits --limit 5 --json | jq '.oldest[] | select(.is_over) | .order_id'
    """
    found = operations.waits(settings, limit=limit)
    statuses = table("status, orders, p95 of the last day=p95_seconds, slower, exact", found.statuses)
    columns = "order=order_id, saga=saga_id, status, since, seconds, p95=p95_seconds, over=is_over"
    lines = [statuses, table(columns, found.oldest)]
    lines += [f"And {found.left_out} more."] * (found.left_out > 0)
    return Answer(found, "\n\n".join([*lines, *found.notes]))
