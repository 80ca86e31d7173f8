"""Who did what by hand: one line in the transaction of the change."""

import os
import pwd

import click
from sqlalchemy import Connection

from app.cli.arguments import ID
from app.models.models import operator_actions


def _os_user() -> str:
    """The account, not $USER: that anybody can set."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"uid {os.getuid()}"


as_option = click.option(
    "--as", "who", type=ID, default=_os_user, help="Name in the audit line  [default: the account]"
)


def record(
    connection: Connection, who: str, action: str, subject: str, detail: str, *, data: bytes | None = None
) -> None:
    """Write the audit line; it commits with the caller's transaction. `data`: bytes that are nowhere else any more."""
    line = {"who": who, "action": action, "subject": subject, "detail": detail, "bytes": data}
    connection.execute(operator_actions.insert().values(line))


def begin(connection: Connection, who: str, action: str, subject: str, *, data: bytes) -> int:
    """Write the line of something that is done outside the database next, and return its id for `complete`."""
    line = {"who": who, "action": action, "subject": subject, "detail": "begun, its end is not known", "bytes": data}
    made = connection.execute(operator_actions.insert().values(line).returning(operator_actions.c.id))
    return int(made.scalar_one())


def complete(connection: Connection, line: int, detail: str) -> None:
    """Write into the line how it ended."""
    connection.execute(operator_actions.update().where(operator_actions.c.id == line).values(detail=detail))
