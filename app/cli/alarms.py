"""`alarms list|show|acknowledge`: what a person should look at, whichever process of the service rang it."""

from typing import Any

import click
from flask.cli import AppGroup, with_appcontext
from sqlalchemy import Connection, Row, func, or_, select, update

from app.cli import audit
from app.cli.arguments import ID, limit_option
from app.cli.database import transaction
from app.cli.output import Failure, json_option, print_json, print_record, print_table
from app.models.models import alarms
from app.utils.alarm import ACKNOWLEDGED, ENDS_BY_ITSELF, NOBODY
from app.utils.limits import ALARM_LEASE_SECONDS

TABLE = {"name": "name", "since": "since", "last": "last_at", "count": "count", "what": "sentence"}

_BY_PERSON = "when a person acknowledges it"


@click.group("alarms", cls=AppGroup, invoke_without_command=True)
@click.pass_context
@with_appcontext
def group(context: click.Context) -> None:
    """Show the open alarms of the service, and acknowledge those that cannot end by themselves.

    \b
    Examples:
      flask orders alarms
      flask orders alarms list --ended
      flask orders alarms show offset_0
      flask orders alarms acknowledge commands_lost_0_4711 --as alice
    """
    if context.invoked_subcommand is None:
        context.invoke(list_alarms)


@group.command("list")
@click.option("--ended", is_flag=True, help="Those that are over, the latest first.")
@limit_option
@json_option
def list_alarms(ended: bool = False, limit: int = 20, as_json: bool = False) -> None:
    """List the open alarms, or those that are over.

    \b
    Examples:
      flask orders alarms list
      flask orders alarms list --ended --limit 5 --json
    """
    with transaction(snapshot=True) as connection:
        found = read_alarms(connection, ended=ended)
    if as_json:
        print_json({"alarms": found[:limit]})
        return
    if not found:
        click.echo("No alarm is over." if ended else "No alarm is open.")
        return
    print_table({**TABLE, "ended": "ended_at", "how": "ending"} if ended else TABLE, found[:limit])
    if len(found) > limit:
        click.echo(f"And {len(found) - limit} more.")


@group.command("show")
@click.argument("name", type=ID)
@json_option
def show(name: str, as_json: bool) -> None:
    """Show all that is known of one alarm, also of one that is over.

    \b
    Examples:
      flask orders alarms show offset_0
    """
    with transaction(snapshot=True) as connection:
        found = read_alarms(connection, ended=False, name=name) or read_alarms(connection, ended=True, name=name)
    if not found:
        raise Failure(f"There is no alarm {name}.")
    if as_json:
        print_json(found[0])
        return
    print_record((field.removesuffix("_at"), value) for field, value in found[0].items())


@group.command("acknowledge")
@click.argument("names", metavar="NAME...", type=ID, nargs=-1, required=True)
@audit.as_option
@json_option
def acknowledge(names: tuple[str, ...], who: str, as_json: bool) -> None:
    """Say that a person has seen what happened; the alarms end with that.

    The alarm of a condition that lasts is not acknowledged: it ends when its cause does.

    \b
    Examples:
      flask orders alarms acknowledge commands_lost_0_4711
      flask orders alarms acknowledge commands_lost_0_4711 commands_lost_1_17 --as alice
    """
    with transaction() as connection:
        for name in dict.fromkeys(names):
            _acknowledge(connection, name, who)
    if as_json:
        print_json({"acknowledged": list(dict.fromkeys(names))})
        return
    for name in dict.fromkeys(names):
        click.echo(f"Alarm {name} is acknowledged.")


def _acknowledge(connection: Connection, name: str, who: str) -> None:
    done = connection.execute(
        update(alarms)
        .where(alarms.c.name == name, alarms.c.holder == NOBODY, alarms.c.ended_at.is_(None))
        .values(ended_at=func.now(), ending=ACKNOWLEDGED)
        .returning(alarms.c.sentence)
    ).first()
    if done is None:
        if read_alarms(connection, ended=False, name=name):
            raise Failure(f"Alarm {name} lasts: it ends by itself, when its cause is over.")
        raise Failure(f"There is no open alarm {name}.")
    audit.record(connection, who, "acknowledge", f"alarm {name}", done.sentence)


def read_alarms(connection: Connection, *, ended: bool, name: str | None = None) -> list[dict[str, Any]]:
    """Return one entry a name, where several processes hold it: what the latest of them says."""
    renewed = or_(
        alarms.c.holder == NOBODY,
        alarms.c.last_at >= func.now() - func.make_interval(0, 0, 0, 0, 0, 0, ALARM_LEASE_SECONDS),
    )
    is_open = alarms.c.ended_at.is_(None) & renewed
    query = select(alarms).where(~is_open if ended else is_open).order_by(alarms.c.last_at)
    if name is not None:
        query = query.where(alarms.c.name == name)
    found: dict[str, dict[str, Any]] = {}
    for row in connection.execute(query):
        found[row.name] = _entry(row, found.pop(row.name, None), ended=ended)
    return list(reversed(found.values()))


def _entry(row: Row[Any], before: dict[str, Any] | None, *, ended: bool) -> dict[str, Any]:
    happened = row.holder == NOBODY
    entry = {
        "name": row.name,
        "sentence": row.sentence,
        "evidence": row.evidence or None,
        "since": row.since,
        "last_at": row.last_at,
        "count": row.count,
        "holders": [] if happened else [row.holder],
        "ends": _BY_PERSON if happened else ENDS_BY_ITSELF,
        "ended_at": row.ended_at or (row.last_at if ended else None),
        "ending": row.ending or ("not renewed" if ended else None),
    }
    if before is not None and not ended:
        entry["since"] = min(before["since"], row.since)
        entry["count"] += before["count"]
        entry["holders"] = [*before["holders"], *entry["holders"]]
    return entry
