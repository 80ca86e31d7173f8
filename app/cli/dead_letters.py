"""`dead-letters list|show|replay|discard`: commands that could not be read, and what a person decides about them."""

from typing import Any

import click
from flask import current_app
from flask.cli import AppGroup
from sqlalchemy import Connection, Row, delete, func, select, update

from app.cli import audit, broker
from app.cli.arguments import ROW_ID, confirm, limit_option, yes_option
from app.cli.database import transaction
from app.cli.lanes import SECONDS, hold_lead
from app.cli.output import Failure, as_base64, as_text, fields, json_option, print_json, print_record, print_table
from app.config.config import Settings
from app.models.models import dead_letters as letters
from app.services.relay_store import DEAD_LETTERS

group = AppGroup("dead-letters", help="Commands that could not be read.")

SUMMARY = ("id", "topic", "partition", "offset", "error", "created_at", "sent_at", "resolution", "resolved_at")
TABLE = {
    "id": "id",
    "found": "created_at",
    "was at": "place",
    "bytes": "bytes",
    "why": "error",
    "sent": "sent_at",
    "decided": "resolution",
}
REPLAY_SECONDS = 60  # the row is kept until Kafka has answered

letter_id = click.argument("letter_id", metavar="ID", type=ROW_ID)


@group.command("list")
@click.option("--all", "every", is_flag=True, help="Also those that were replayed or discarded.")
@limit_option
@json_option
def list_letters(every: bool, limit: int, as_json: bool) -> None:
    """List the dead letters that nobody has decided about, newest first.

    \b
    Examples:
      flask orders dead-letters list
      flask orders dead-letters list --all --limit 100 --json
    """
    columns = [letters.c[name] for name in SUMMARY]
    query = select(*columns, func.octet_length(letters.c.value).label("bytes")).order_by(letters.c.id.desc())
    if not every:
        query = query.where(letters.c.resolution.is_(None))
    with transaction() as connection:
        rows = [fields(row) for row in connection.execute(query.limit(limit))]
    if as_json:
        print_json({"dead_letters": rows})
        return
    print_table(TABLE, [it | {"place": f"{it['topic']}/{it['partition']}/{it['offset']}"} for it in rows])


@group.command("show")
@letter_id
@click.option("--bytes", "only_bytes", is_flag=True, help="Print nothing but the record's bytes, as they are.")
@json_option
def show_letter(letter_id: int, only_bytes: bool, as_json: bool) -> None:
    """Show one dead letter with its key and value.

    \b
    Examples:
      flask orders dead-letters show 7
      flask orders dead-letters show 7 --bytes > record    (to mend it: send-command --raw --file record)
    """
    with transaction() as connection:
        letter = _find(connection, letter_id)
    if only_bytes:
        click.echo(letter.value or b"", nl=False)
        return
    shown = _summary(letter)
    if as_json:
        for name, value in (("key", letter.key), ("value", letter.value)):
            shown |= {name: as_text(value), f"{name}_base64": as_base64(value)}
        print_json(shown)
        return
    print_record([*shown.items(), ("key", letter.key), ("value", letter.value)])


@group.command("replay")
@letter_id
@audit.as_option
@json_option
def replay(letter_id: int, who: str, as_json: bool) -> None:
    """Send a dead letter again: the same key and bytes to the topic it came from.

    The service judges it again. Where it is still unreadable it becomes a new dead letter.

    \b
    Examples:
      flask orders dead-letters replay 7
      flask orders dead-letters replay 7 --as alice
    """
    settings: Settings = current_app.extensions["settings"]
    with transaction(REPLAY_SECONDS) as connection:
        letter = _find(connection, letter_id, lock=True)
        if letter.resolution == "replayed":
            raise Failure(f"Dead letter {letter_id} was replayed at {letter.resolved_at:%Y-%m-%d %H:%M:%S} UTC.")
        _resolve(connection, letter_id, "replayed")
        place = broker.send(settings, letter.topic, letter.key, letter.value)
        where = f"{place.topic}/{place.partition}/{place.offset}"
        audit.record(connection, who, "replay", f"dead letter {letter_id}", f"sent again as {where}")
    if as_json:
        print_json({"id": letter_id, "resolution": "replayed", "place": place})
        return
    click.echo(f"Dead letter {letter_id} was sent again, as {where}.")


@group.command("discard")
@letter_id
@click.option("--unsent", is_flag=True, help="Also when Kafka has not taken it: it leaves the lane, and the table.")
@yes_option
@audit.as_option
@json_option
def discard(letter_id: int, unsent: bool, yes: bool, who: str, as_json: bool) -> None:
    """Decide that nothing is to be done about a dead letter.

    It stays in the table and in the dead letter topic. One that the dead letter topic refuses for good holds up those
    behind it: with --unsent it is taken out, and only the audit line keeps its bytes.

    \b
    Examples:
      flask orders dead-letters discard 7
      flask orders dead-letters discard 8 --unsent --yes
    """
    if unsent:
        confirm(f"Dead letter {letter_id} will not reach the dead letter topic. Go on?", yes=yes)
    with transaction(SECONDS) as connection:
        if unsent:
            hold_lead(connection, DEAD_LETTERS)
        letter = _find(connection, letter_id, lock=True)
        if letter.sent_at is None and not unsent:
            raise Failure(f"Dead letter {letter_id} is still to be sent to the dead letter topic (see --unsent).")
        if letter.sent_at is None:
            connection.execute(delete(letters).where(letters.c.id == letter_id))
        elif letter.resolution is not None:
            raise Failure(f"Dead letter {letter_id} was {letter.resolution} already.")
        else:
            _resolve(connection, letter_id, "discarded")
        data = letter.value if letter.sent_at is None else None
        audit.record(connection, who, "discard", f"dead letter {letter_id}", _detail(letter), data=data)
    if as_json:
        print_json({"id": letter_id, "resolution": "discarded"})
        return
    click.echo(f"Dead letter {letter_id} was discarded.")


def _find(connection: Connection, letter_id: int, *, lock: bool = False) -> Row[*tuple[Any, ...]]:
    query = select(letters).where(letters.c.id == letter_id)
    letter = connection.execute(query.with_for_update() if lock else query).first()
    if letter is None:
        raise Failure(f"There is no dead letter {letter_id}.")
    return letter


def _resolve(connection: Connection, letter_id: int, resolution: str) -> None:
    values = {"resolution": resolution, "resolved_at": func.now()}
    connection.execute(update(letters).where(letters.c.id == letter_id).values(values))


def _summary(letter: Row[*tuple[Any, ...]]) -> dict[str, Any]:
    return {name: letter._mapping[name] for name in SUMMARY}


def _detail(letter: Row[*tuple[Any, ...]]) -> str:
    sent = "sent" if letter.sent_at else "never sent"
    key = f", key (Base64) {as_base64(letter.key)}" if letter.key is not None and not letter.sent_at else ""
    return f"{letter.topic}/{letter.partition}/{letter.offset}, {sent}{key}: {letter.error}"
