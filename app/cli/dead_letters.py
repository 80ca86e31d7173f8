"""`dead-letters list|show|replay|retry|discard`: commands that could not be read, and what a person decides of them."""

from functools import partial
from typing import Any

import click
from flask import current_app
from flask.cli import AppGroup
from sqlalchemy import Connection, Row, delete, func, select, update

from app.cli import audit, broker
from app.cli.arguments import ROW_ID, confirm, limit_option, yes_option
from app.cli.cluster import require_ours
from app.cli.database import transaction
from app.cli.lanes import SECONDS, hold_lead
from app.cli.output import Failure, as_base64, as_text, fields, json_option, print_json, print_record, print_table
from app.config.config import Settings
from app.database.lanes import DEAD_LETTERS
from app.models.models import dead_letters as letters

group = AppGroup("dead-letters", help="Commands that could not be read.")

SUMMARY = (
    "id", "topic", "partition", "offset", "error", "created_at", "sent_at", "resolution", "resolved_at", "length",
    "refusal",
)  # fmt: skip
TABLE = {
    "id": "id",
    "found": "created_at",
    "was at": "place",
    "bytes": "bytes",
    "why": "error",
    "sent": "sent",
    "decided": "resolution",
}
REPLAY_SECONDS = 60  # the row is kept until Kafka has answered

letter_id = click.argument("letter_id", metavar="ID", type=ROW_ID)
letter_ids = click.argument("ids", metavar="ID...", type=ROW_ID, nargs=-1, required=True)


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
    print_table(TABLE, [it | _shown(it) for it in rows])


def _shown(row: dict[str, Any]) -> dict[str, Any]:
    place = f"{row['topic']}/{row['partition']}/{row['offset']}"
    return {"place": place, "sent": "refused" if row["refusal"] and not row["sent_at"] else row["sent_at"]}


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
@letter_ids
@audit.as_option
@json_option
def replay(ids: tuple[int, ...], who: str, as_json: bool) -> None:
    """Send dead letters again: the same keys and bytes to the topic they came from, one after the other.

    The service judges each again. Where one is still unreadable it becomes a new dead letter.

    \b
    Examples:
      flask orders dead-letters replay 7
      flask orders dead-letters replay 7 8 9 --as alice
    """
    done: list[dict[str, Any]] = []
    for letter_id in _each(ids):
        try:
            place = _replay(letter_id, who)
        except Failure as failure:
            before = f" Sent again before it: {', '.join(str(it['id']) for it in done)}." if done else ""
            raise Failure(f"{failure.message}{before}") from failure
        done.append({"id": letter_id, "resolution": "replayed", "place": place})
    if as_json:
        print_json(done[0] if len(done) == 1 else {"dead_letters": done})
        return
    for it in done:
        where = f"{it['place'].topic}/{it['place'].partition}/{it['place'].offset}"
        click.echo(f"Dead letter {it['id']} was sent again, as {where}.")


def _replay(letter_id: int, who: str) -> broker.Place:
    settings: Settings = current_app.extensions["settings"]
    with transaction(REPLAY_SECONDS) as connection:
        letter = _find(connection, letter_id, lock=True)
        if letter.resolution is not None:
            raise Failure(
                f"Dead letter {letter_id} was {letter.resolution} at {letter.resolved_at:%Y-%m-%d %H:%M:%S} UTC."
            )
        if letter.sha256 is not None:
            raise Failure(f"Of dead letter {letter_id} only the beginning was kept: ask its sender for all of it.")
        _resolve(connection, letter_id, resolution="replayed")
        place = broker.send(settings, letter.topic, letter.key, letter.value, partial(require_ours, settings))
        where = f"{place.topic}/{place.partition}/{place.offset}"
        audit.record(connection, who, "replay", f"dead letter {letter_id}", f"sent again as {where}")
    return place


@group.command("retry")
@letter_ids
@audit.as_option
@json_option
def retry(ids: tuple[int, ...], who: str, as_json: bool) -> None:
    """Offer dead letters to the dead letter topic again that it refused, after its limit was raised.

    \b
    Examples:
      flask orders dead-letters retry 7 8 --as alice
    """
    renewed = []
    kept = [column.name for column in letters.columns if column.name not in ("id", "refusal")]
    with transaction(SECONDS) as connection:
        for letter_id in _each(ids):
            letter = _find(connection, letter_id, lock=True)
            if letter.refusal is None or letter.sent_at is not None:
                raise Failure(f"Dead letter {letter_id} is not refused. Nothing was changed.")
            connection.execute(delete(letters).where(letters.c.id == letter_id))
            # With a new id: the relay looks for rows above those that it has seen.
            values = {name: letter._mapping[name] for name in kept}
            renewed.append(connection.scalar(letters.insert().values(values).returning(letters.c.id)))
            audit.record(connection, who, "retry", f"dead letter {letter_id}", f"now {renewed[-1]}: {_detail(letter)}")
    if as_json:
        print_json({"ids": renewed})
        return
    click.echo(f"{len(renewed)} will be sent, with the new ids {', '.join(map(str, renewed))}.")


@group.command("discard")
@letter_ids
@click.option("--unsent", is_flag=True, help="Also when Kafka has not taken it: it leaves the lane, and the table.")
@yes_option
@audit.as_option
@json_option
def discard(ids: tuple[int, ...], unsent: bool, yes: bool, who: str, as_json: bool) -> None:
    """Decide that nothing is to be done about dead letters, all of those named or none.

    Their lines stay in the table until they are too old, their bytes go: the dead letter topic has them. One that this
    topic refused, or, with --unsent, has not got yet leaves the table: only the audit line keeps its bytes then.

    \b
    Examples:
      flask orders dead-letters discard 7 8 9
      flask orders dead-letters discard 10 --unsent --yes --as alice
    """
    with transaction() as connection:
        for letter_id in _each(ids):
            _check_discard(_find(connection, letter_id), unsent=unsent)
    what = "will not reach the dead letter topic, and their bytes" if unsent else "are decided about, and their bytes"
    confirm(f"{len(_each(ids))} dead letters {what} leave the table. Go on?", yes=yes)
    with transaction(SECONDS) as connection:
        if unsent:
            hold_lead(connection, DEAD_LETTERS)
        for letter_id in _each(ids):
            _discard(connection, letter_id, who, unsent=unsent)
    if as_json:
        found = _each(ids)
        print_json({"id": found[0], "resolution": "discarded"} if len(found) == 1 else {"ids": found})
        return
    for letter_id in _each(ids):
        click.echo(f"Dead letter {letter_id} was discarded.")


def _check_discard(letter: Row[*tuple[Any, ...]], *, unsent: bool) -> None:
    if letter.resolution == "discarded":
        raise Failure(f"Dead letter {letter.id} was discarded already. Nothing was changed.")
    if letter.sent_at is None and letter.refusal is None and not unsent:
        raise Failure(f"Dead letter {letter.id} is still to be sent to the dead letter topic (see --unsent).")


def _discard(connection: Connection, letter_id: int, who: str, *, unsent: bool) -> None:
    letter = _find(connection, letter_id, lock=True)
    _check_discard(letter, unsent=unsent)
    if letter.sent_at is None:
        connection.execute(delete(letters).where(letters.c.id == letter_id))
    else:
        _resolve(connection, letter_id, resolution=letter.resolution or "discarded", key=None, value=None)
    data = letter.value if letter.sent_at is None else None
    audit.record(connection, who, "discard", f"dead letter {letter_id}", _detail(letter), data=data)


def _each(ids: tuple[int, ...]) -> list[int]:
    return sorted(set(ids))


def _find(connection: Connection, letter_id: int, *, lock: bool = False) -> Row[*tuple[Any, ...]]:
    query = select(letters).where(letters.c.id == letter_id)
    letter = connection.execute(query.with_for_update() if lock else query).first()
    if letter is None:
        raise Failure(f"There is no dead letter {letter_id}.")
    return letter


def _resolve(connection: Connection, letter_id: int, **values: Any) -> None:
    connection.execute(update(letters).where(letters.c.id == letter_id).values(resolved_at=func.now(), **values))


def _summary(letter: Row[*tuple[Any, ...]]) -> dict[str, Any]:
    return {name: letter._mapping[name] for name in SUMMARY}


def _detail(letter: Row[*tuple[Any, ...]]) -> str:
    sent = "sent" if letter.sent_at else letter.refusal or "never sent"
    key = f", key (Base64) {as_base64(letter.key)}" if letter.key is not None and not letter.sent_at else ""
    return f"{letter.topic}/{letter.partition}/{letter.offset}, {sent}{key}: {letter.error}"
