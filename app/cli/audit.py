"""`audit`: what operators did."""

import click

from app.cli import commands
from app.cli.arguments import ID, ROW_ID, limit_option
from app.cli.output import Answer, looks, table
from app.config.config import Settings
from app.operations import audit as operations


@commands.command("audit")
@click.option("--about", "subject", type=ID, help="Only lines about this subject, such as 'dead letter 7'.")
@click.option("--before", type=ROW_ID, help="Only lines before the one with this id.")
@limit_option
@looks
def audit(settings: Settings, subject: str | None, before: int | None, limit: int) -> Answer:
    """List what operators did, the latest first: a line for each change, with who made it and how it ended.

    \b
    Examples:
      flask orders audit
      flask orders audit --about 'dead letter 7' --json
      flask orders audit --before 120 --limit 100
    """
    found = operations.lines(settings, subject=subject, before=before, limit=limit)
    columns = "id, when=at, who, did=action, to=subject, how it ended=detail, kept bytes=kept_bytes"
    return Answer({"audit": found}, table(columns, found))
