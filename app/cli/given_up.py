"""`given-up list|show|discard`: commands that were answered with a failure because they could not be handled."""

import click
from flask.cli import AppGroup
from sqlalchemy import delete, func, select

from app.cli import audit
from app.cli.arguments import ROW_ID, confirm, limit_option, yes_option
from app.cli.database import transaction
from app.cli.lanes import SECONDS
from app.cli.output import Failure, as_base64, as_text, fields, json_option, print_json, print_record, print_table
from app.models.models import given_up_commands as given_up

group = AppGroup("given-up", help="Commands that were given up and answered with internal_error.")

SUMMARY = ("id", "topic", "partition", "offset", "type", "correlation_id", "error", "created_at")
TABLE = {
    "id": "id",
    "since": "created_at",
    "was at": "place",
    "type": "type",
    "correlation id": "correlation_id",
    "bytes": "bytes",
    "why": "error",
}


@group.command("list")
@limit_option
@json_option
def list_given_up(limit: int, as_json: bool) -> None:
    """List the commands that were given up, newest first.

    \b
    Examples:
      flask orders given-up list
      flask orders given-up list --limit 100 --json
    """
    columns = [given_up.c[name] for name in SUMMARY]
    query = select(*columns, func.octet_length(given_up.c.value).label("bytes")).order_by(given_up.c.id.desc())
    with transaction() as connection:
        rows = [fields(row) for row in connection.execute(query.limit(limit))]
    if as_json:
        print_json({"given_up": rows})
        return
    print_table(TABLE, [it | {"place": f"{it['topic']}/{it['partition']}/{it['offset']}"} for it in rows])


@group.command("show")
@click.argument("command_id", metavar="ID", type=ROW_ID)
@click.option("--bytes", "only_bytes", is_flag=True, help="Print nothing but the record's bytes, as they are.")
@json_option
def show_given_up(command_id: int, only_bytes: bool, as_json: bool) -> None:
    """Show one command that was given up, with its key and value.

    Its sender has the failure and decides what comes next. The same bytes sent again are the same command and are
    passed over: what is to be done all the same is sent with another timestamp.

    \b
    Examples:
      flask orders given-up show 7
      flask orders given-up show 7 --bytes > record
    """
    with transaction() as connection:
        row = connection.execute(select(given_up).where(given_up.c.id == command_id)).first()
    if row is None:
        raise Failure(f"There is no command {command_id} that was given up.")
    if only_bytes:
        click.echo(row.value or b"", nl=False)
        return
    shown = {name: row._mapping[name] for name in SUMMARY}
    if as_json:
        for name, value in (("key", row.key), ("value", row.value)):
            shown |= {name: as_text(value), f"{name}_base64": as_base64(value)}
        print_json(shown)
        return
    print_record([*shown.items(), ("key", row.key), ("value", row.value)])


@group.command("discard")
@click.argument("ids", metavar="ID...", type=ROW_ID, nargs=-1, required=True)
@yes_option
@audit.as_option
@json_option
def discard(ids: tuple[int, ...], yes: bool, who: str, as_json: bool) -> None:
    """Delete commands that were given up, with their bytes: nothing more is to be done about them.

    \b
    Examples:
      flask orders given-up discard 7 8 9
      flask orders given-up discard 7 --yes --as alice
    """
    confirm(f"The bytes of {len(ids)} commands will be gone. Go on?", yes=yes)
    with transaction(SECONDS) as connection:
        for command_id in sorted(set(ids)):
            row = connection.execute(delete(given_up).where(given_up.c.id == command_id).returning(given_up)).first()
            if row is None:
                raise Failure(f"There is no command {command_id} that was given up. Nothing was changed.")
            detail = f"{row.topic}/{row.partition}/{row.offset}, {row.type} {row.correlation_id}: {row.error}"
            audit.record(connection, who, "discard", f"given-up command {command_id}", detail)
    if as_json:
        print_json({"ids": sorted(set(ids)), "resolution": "discarded"})
        return
    click.echo(f"{len(set(ids))} discarded.")
