"""`recover`: after PostgreSQL was restored to an older state, do again what came after it."""

from dataclasses import replace

from app.cli import commands
from app.cli.arguments import confirm, reason_option, yes_option
from app.cli.output import Answer, beyond, changes, table
from app.operations import recover as operations
from app.operations.audit import Operator

SHOWN = 20


@commands.command("recover")
@reason_option
@yes_option
@changes
def recover(operator: Operator, reason: str, yes: bool) -> Answer:
    """Do again what came after the state that PostgreSQL was restored to, as Kafka tells it.

    Run it after the restore and before any process of the service starts: a change over HTTP is written as its event
    on `order_events` has it, a command is handled again, in the order in which they were done. Nothing is announced a
    second time. Run it again if it was interrupted. What cannot be done again is listed, and the exit code is 1 then.

    \b
    Examples:
      flask orders recover --reason 'disk of db-1, restored to 12:00'
      flask orders recover --reason 'disk of db-1, restored to 12:00' --yes --json
    """
    confirm("All that the topics tell of the time after the restored state is done again. Go on?", yes=yes)
    done = operations.recover(replace(operator, reason=reason))
    sentence = f"{done.changes} changes and {done.commands} commands were done again."
    if done.deleted:
        sentence += f" {done.deleted} records are no longer on the topics: retention has deleted them."
    if not done.not_back:
        return Answer(done, sentence)
    shown = table("order_id, version, type, event_id", done.not_back[:SHOWN])
    text = f"{sentence}\nNot as announced, {len(done.not_back)} in all:\n{shown}{beyond(done.not_back, SHOWN)}"
    return Answer(done, text, exit_code=1)
