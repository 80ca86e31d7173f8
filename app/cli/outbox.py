"""`outbox`, `take-out` and `put-back`: events that wait for Kafka, and the one that it refuses for good."""

from typing import Any

import click
from flask.cli import AppGroup, with_appcontext
from sqlalchemy import ColumnElement, Connection, Row, Select, delete, func, insert, select, text, update
from sqlalchemy.dialects.postgresql import insert as upsert

from app.cli import audit
from app.cli.arguments import EVENT_ID, confirm, limit_option, yes_option
from app.cli.database import transaction
from app.cli.lanes import SECONDS, hold_lead
from app.cli.output import Failure, fields, json_option, print_json, print_table
from app.database.lanes import ASIDE_RANGE, EVENTS
from app.models.models import order_changes, taken_out_events
from app.models.models import outbox as events

TABLE = {
    "id": "id",
    "since": "created_at",
    "type": "type",
    "key": "aggregateid",
    "version": "version",
    "bytes": "bytes",
    "correlation id": "correlation_id",
    "refusal": "refusal",
}
NUMBERS = {"ignore_unknown_options": True}  # -17 is an id
_KEPT = ("event_id", "aggregateid", "type", "correlation_id", "version", "payload", "created_at")
_AT_ITS_PLACE = text(
    f"INSERT INTO outbox (id, {', '.join(_KEPT)}) OVERRIDING SYSTEM VALUE "
    f"SELECT :id, {', '.join(_KEPT)} FROM taken_out_events WHERE event_id = :event_id"
)


@click.group("outbox", cls=AppGroup, invoke_without_command=True)
@limit_option
@json_option
@click.pass_context
@with_appcontext
def group(context: click.Context, limit: int, as_json: bool) -> None:
    """Show the events that wait for Kafka: how many, since when, the oldest.

    \b
    Examples:
      flask orders outbox
      flask orders outbox --limit 3 --json
      flask orders outbox take-out 4711
      flask orders outbox put-back 4711
    """
    if context.invoked_subcommand is None:
        _show(limit, as_json)


def _show(limit: int, as_json: bool) -> None:
    age = func.extract("epoch", func.now() - events.c.created_at).label("age")
    columns = [
        events.c[name] for name in ("id", "event_id", "aggregateid", "type", "correlation_id", "version", "refusal")
    ]
    query = select(*columns, events.c.created_at, func.octet_length(events.c.payload).label("bytes"), age)
    with transaction(snapshot=True) as connection:
        depth = connection.scalar(select(func.count()).select_from(events)) or 0
        oldest = [fields(row) for row in connection.execute(query.order_by(events.c.id).limit(limit))]
    seconds = round(float(oldest[0]["age"]), 1) if oldest else None
    if as_json:
        print_json({"depth": depth, "oldest_age_seconds": seconds, "oldest": oldest})
        return
    click.echo(f"{depth} events wait, the oldest for {seconds} s." if oldest else "No event waits.")
    if oldest:
        print_table(TABLE, oldest)


@group.command("take-out", context_settings=NUMBERS)
@click.argument("event", metavar="ID", type=EVENT_ID)
@yes_option
@audit.as_option
@json_option
def take_out(event: int, yes: bool, who: str, as_json: bool) -> None:
    """Take an event out that Kafka refuses for good.

    Those behind it go on then. Consumers do not see it: a gap in the versions of its order, which `check` tells of
    until the event is put back. Only an event that the relay has named as refused can go. It waits up to 20 s for a
    moment in which no relay leads; a lane that is well has none.

    \b
    Examples:
      flask orders outbox take-out 4711
      flask orders outbox take-out 4711 --yes --as alice
    """
    confirm(f"Consumers will not see event {event} until it is put back. Go on?", yes=yes)
    with transaction(SECONDS) as connection:
        _refused(connection, event)
        hold_lead(connection, EVENTS)
        row = _refused(connection, event)
        connection.execute(delete(events).where(events.c.id == event))
        _keep(connection, row)
        taken = fields(row)
        payload = taken.pop("payload")
        detail = ", ".join(f"{name}={value}" for name, value in taken.items() if name != "id")
        audit.record(connection, who, "take-out", f"outbox {event}", detail, data=payload)
    if as_json:
        print_json(taken)
        return
    click.echo(f"Event {event}, {_named(row)}, was taken out.")


def _refused(connection: Connection, event: int) -> Row[Any]:
    row = connection.execute(select(events).where(events.c.id == event)).first()
    if row is None:
        raise Failure(f"There is no event {event} in the outbox.")
    if row.refusal is None:
        raise Failure(
            f"Kafka has not refused event {event}: it waits, and leaves when Kafka takes it. Nothing was changed."
        )
    return row


def _keep(connection: Connection, row: Row[Any]) -> None:
    kept = {name: getattr(row, name) for name in (*_KEPT, "refusal")} | {"outbox_id": row.id}
    anew = kept | {"taken_out_at": func.now(), "put_back_at": None}  # it was taken out and put back before
    connection.execute(
        upsert(taken_out_events).values(kept).on_conflict_do_update(index_elements=["event_id"], set_=anew)
    )


@group.command("put-back", context_settings=NUMBERS)
@click.argument("event", metavar="ID", type=EVENT_ID)
@yes_option
@audit.as_option
@json_option
def put_back(event: int, yes: bool, who: str, as_json: bool) -> None:
    """Put an event back that was taken out: it is sent as it was, with its event id and version.

    Later versions of its order that have left already stay before it: consumers get it late, and the answer says after
    which version. Where later ones still wait, it goes before them, if the lane is without a relay within 20 s.

    \b
    Examples:
      flask orders outbox put-back 4711
      flask orders outbox put-back 4711 --yes --as alice
    """
    confirm(f"Event {event} will be sent, after what has left meanwhile. Go on?", yes=yes)
    with transaction(SECONDS) as connection:
        row = _taken_out(connection, event)
        place = _place_before_others(connection, row)
        if place is not None:
            connection.execute(_AT_ITS_PLACE, {"event_id": row.event_id, "id": place})
        else:
            connection.execute(insert(events).values({name: getattr(row, name) for name in _KEPT}))
        after = _version_before(connection, row, all_that_wait=place is None)
        connection.execute(
            update(taken_out_events).where(taken_out_events.c.event_id == row.event_id).values(put_back_at=func.now())
        )
        audit.record(connection, who, "put-back", f"outbox {event}", f"event_id={row.event_id}, after version={after}")
    if as_json:
        print_json({"event_id": row.event_id, "version": row.version, "after_version": after})
        return
    words = f"after version {after} of its order" if after else "with nothing of its order before it that is younger"
    click.echo(f"Event {event}, {_named(row)}, waits for Kafka again, {words}.")


def _taken_out(connection: Connection, event: int) -> Row[Any]:
    kept = taken_out_events.c
    query = select(taken_out_events).where(kept.outbox_id == event, kept.put_back_at.is_(None)).with_for_update()
    row = connection.execute(query).first()
    if row is None:
        raise Failure(f"No event {event} is out of the outbox.")
    return row


def _place_before_others(connection: Connection, row: Row[Any]) -> int | None:
    """Return the id that has its place before younger ones of its order that wait, None where it goes behind."""
    if not connection.scalar(select(_younger(row).exists())):
        return None
    try:
        with connection.begin_nested():
            hold_lead(connection, EVENTS)
    except Failure:  # a relay leads, and may have them in hand
        return None
    first: int | None = connection.scalar(select(func.min(events.c.id)).where(*_is_younger(row)))
    if first is None:
        return None
    # Where they are set aside for their partition, it goes into the same range, to the place of its first id.
    return int(row.outbox_id) % ASIDE_RANGE + first - first % ASIDE_RANGE


def _younger(row: Row[Any]) -> Select[Any]:
    return select(events.c.version).where(*_is_younger(row))


def _is_younger(row: Row[Any]) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return events.c.aggregateid == row.aggregateid, events.c.version > row.version


def _version_before(connection: Connection, row: Row[Any], *, all_that_wait: bool) -> int | None:
    """Return the highest version of the order that consumers have before the event, None where none is younger."""
    changes = order_changes.c
    query = select(func.max(changes.version)).where(changes.order_id == row.aggregateid, changes.version > row.version)
    if not all_that_wait:
        query = query.where(changes.version.not_in(_younger(row)))
    found: int | None = connection.scalar(query)
    return found


def _named(row: Row[Any]) -> str:
    version = "" if row.version is None else f" (version {row.version})"
    return f"{row.type} of {row.aggregateid}{version}"
