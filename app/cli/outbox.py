"""`outbox` and `outbox take-out`: events that wait for Kafka, and the one that it will never take."""

import click
from flask.cli import AppGroup, with_appcontext
from sqlalchemy import delete, func, select

from app.cli import audit
from app.cli.arguments import ROW_ID, confirm, limit_option, yes_option
from app.cli.database import transaction
from app.cli.lanes import SECONDS, hold_lead
from app.cli.output import Failure, fields, json_option, print_json, print_table
from app.models.models import outbox as events
from app.services.relay_store import EVENTS

TABLE = {
    "id": "id",
    "since": "created_at",
    "type": "type",
    "key": "aggregateid",
    "version": "version",
    "bytes": "bytes",
    "correlation id": "correlation_id",
}


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
    """
    if context.invoked_subcommand is None:
        _show(limit, as_json)


def _show(limit: int, as_json: bool) -> None:
    age = func.extract("epoch", func.now() - events.c.created_at).label("age")
    columns = [events.c[name] for name in ("id", "event_id", "aggregateid", "type", "correlation_id", "version")]
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


@group.command("take-out")
@click.argument("event", metavar="ID", type=ROW_ID)
@yes_option
@audit.as_option
@json_option
def take_out(event: int, yes: bool, who: str, as_json: bool) -> None:
    """Take an event out that Kafka refuses for good.

    Those behind it go on then. Consumers will never see it: a gap in the versions of its order. Its bytes stay in the
    audit line. It waits up to 20 s for a moment in which no relay leads; a lane that is well has none.

    \b
    Examples:
      flask orders outbox take-out 4711
      flask orders outbox take-out 4711 --yes --as alice
    """
    confirm(f"Consumers will never see event {event}. Go on?", yes=yes)
    with transaction(SECONDS) as connection:
        hold_lead(connection, EVENTS)
        row = connection.execute(delete(events).where(events.c.id == event).returning(events)).first()
        if row is None:
            raise Failure(f"There is no event {event} in the outbox.")
        taken = fields(row)
        payload = taken.pop("payload")
        detail = ", ".join(f"{name}={value}" for name, value in taken.items() if name != "id")
        audit.record(connection, who, "take-out", f"outbox {event}", detail, data=payload)
    if as_json:
        print_json(taken)
        return
    version = "" if row.version is None else f" (version {row.version})"
    click.echo(f"Event {event}, {row.type} of {row.aggregateid}{version}, was taken out.")
