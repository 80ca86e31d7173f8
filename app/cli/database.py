"""`database`: what PostgreSQL suffers from, in sentences."""

from app.cli import commands
from app.cli.output import Answer, looks, printable
from app.config.config import Settings
from app.operations import database_look

_MARKS = {True: "ok", False: "NOT OK", None: "?"}


@commands.command("database")
@looks
def database(settings: Settings) -> Answer:
    """Say what PostgreSQL suffers from, and what mends it.

    That is: read-only, held snapshots, locks, long transactions, dead rows, replication slots, connections, age of
    transaction ids, checksums, sizes. It only looks, takes 4 s at the longest, and waits for no lock. A user with few
    rights gets what it may see; what it may not see has a question mark. To end another user's session takes the role
    pg_signal_backend, to end a superuser's a superuser.

    Exit code 1 when something is not ok.

    \b
    Examples:
      flask orders database
      flask orders database --json | jq '.remarks[] | select(.ok == false) | .mend'
    """
    remarks = database_look.look(settings)
    lines = []
    for remark in remarks:
        lines.append(f"{_MARKS[remark.ok]:<7} {remark.name}: {printable(remark.sentence)}")
        if remark.mend is not None:
            lines.append(f"        → {printable(remark.mend)}")
    wrong = any(remark.ok is False for remark in remarks)
    return Answer({"remarks": remarks}, "\n".join(lines), exit_code=1 if wrong else 0)
