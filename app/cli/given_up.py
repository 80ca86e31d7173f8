"""`given-up list|show|discard`: commands that were answered with a failure because they could not be handled."""

import click

from app.cli import commands
from app.cli.arguments import ROW_ID, bytes_option, confirm, limit_option, row_ids, yes_option
from app.cli.output import Answer, changes, looks, table, with_bytes
from app.config.config import Settings
from app.operations import given_up
from app.operations.audit import Operator

group = click.Group("given-up", help="Commands that were given up and answered with internal_error.")
commands.add_command(group)


@group.command("list")
@limit_option
@looks
def list_given_up(settings: Settings, limit: int) -> Answer:
    """List the commands that were given up, newest first.

    \b
    Examples:
      flask orders given-up list
      flask orders given-up list --limit 100 --json
    """
    found = given_up.find(settings, limit=limit)
    columns = "id, since=created_at, was at=place, type, correlation id=correlation_id, bytes, why=error"
    return Answer({"given_up": found}, table(columns, found))


@group.command("show")
@click.argument("command_id", metavar="ID", type=ROW_ID)
@bytes_option
@looks
def show_given_up(settings: Settings, command_id: int, only_bytes: bool) -> Answer | None:
    """Show one command that was given up, with its key and value.

    Its sender has the failure and decides what comes next. The same bytes sent again are the same command and are
    passed over: what is to be done all the same is sent with another timestamp.

    \b
    Examples:
      flask orders given-up show 7
      flask orders given-up show 7 --bytes > record
    """
    return with_bytes(given_up.show(settings, command_id), only_bytes=only_bytes)


@group.command("discard")
@row_ids
@yes_option
@changes
def discard(operator: Operator, ids: tuple[int, ...], yes: bool) -> Answer:
    """Delete commands that were given up, with their bytes: nothing more is to be done about them.

    \b
    Examples:
      flask orders given-up discard 7 8 9
      flask orders given-up discard 7 --yes --as alice
    """
    confirm(f"The bytes of {len(ids)} commands will be gone. Go on?", yes=yes)
    found = given_up.discard(operator, ids)
    return Answer({"ids": found, "resolution": "discarded"}, f"{len(found)} discarded.")
