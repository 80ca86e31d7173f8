"""`readers`: the consumer groups that read the events, and whether one stands still."""

from app.cli import commands
from app.cli.output import Answer, looks, printable, table
from app.config.config import Settings
from app.operations import event_readers

SECONDS = 5.0  # a person at a terminal waits for an answer that a page does not wait for


@commands.command("readers")
@looks
def readers(settings: Settings) -> Answer:
    """Show the consumer groups that read the events: how far behind each is, and since when.

    Kafka is asked, for 5 s at the longest. The service sees the groups that its user may DESCRIBE. The list has at most
    50 groups, the farthest behind first. A group without an offset in a partition is shown by its other partitions.

    \b
    Examples:
      flask orders readers
      flask orders readers --json | jq -r '.groups[].stands // empty'
    """
    found = event_readers.readers(settings, seconds=SECONDS)
    columns = "group, behind, unread since=unread_since, unread s=unread_seconds, state"
    lines = [found.nobody or table(columns, found.groups)]
    lines += [f"And {found.left_out} more."] * (found.left_out > 0)
    stands = [reader.stands for reader in found.groups if reader.stands]
    return Answer(found, "\n\n".join([*lines, *map(printable, [*stands, *found.notes])]))
