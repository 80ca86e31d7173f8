"""`offsets show|set`: how far the commands are handled, and from where to go on when only a person can tell."""

from collections.abc import Mapping
from typing import Any

import click
from flask import current_app
from flask.cli import AppGroup
from sqlalchemy import Connection, func, select, update
from sqlalchemy.dialects.postgresql import insert

from app.cli import audit, broker
from app.cli.arguments import confirm, yes_option
from app.cli.broker import Topic
from app.cli.database import transaction
from app.cli.output import Failure, json_option, print_json, print_table
from app.config.config import Settings
from app.models.models import consumer_offsets as stored_offsets
from app.services.log_check import StoredOffset, where_to_go_on

group = AppGroup("offsets", help="How far the commands are handled.")

TABLE = {
    "partition": "partition",
    "stored": "stored",
    "log begins": "begin",
    "log ends": "end",
    "group": "committed",
    "lag": "lag",
    "what is wrong": "alarm",
}

Stored = Mapping[int, StoredOffset]


@group.command("show")
@json_option
def show_offsets(as_json: bool) -> None:
    """Show the stored offset of each partition beside the log and the group.

    `lag` counts the offsets between the stored one and the end of the log.

    \b
    Examples:
      flask orders offsets show
      flask orders offsets show --json | jq '.partitions[].lag'
    """
    settings: Settings = current_app.extensions["settings"]
    with transaction() as connection:
        stored = read_stored(connection, settings.commands_topic)
    topic = broker.commands_topic(settings)
    rows = [_row(partition, stored.get(partition), topic) for partition in sorted({*topic.partitions, *stored})]
    if as_json:
        print_json({"topic": settings.commands_topic, "group": settings.group_id, "partitions": rows})
        return
    print_table(TABLE, rows)


@group.command("set")
@click.option("--partition", type=int, required=True, help="Partition of the commands topic.")
@click.option("--offset", type=int, required=True, help="The next command to handle.")
@yes_option
@audit.as_option
@json_option
def set_offset(partition: int, offset: int, yes: bool, who: str, as_json: bool) -> None:
    """Set the stored offset of one partition: the next command to handle.

    Going back is safe: commands that were handled are recognised by their bytes. What is skipped is never handled or
    answered. A running service follows within 5 s.

    \b
    Examples:
      flask orders offsets set --partition 0 --offset 4711
      flask orders offsets set --partition 2 --offset 0 --yes --as alice
    """
    settings: Settings = current_app.extensions["settings"]
    topic = broker.commands_topic(settings)
    _refuse_nonsense(settings.commands_topic, topic, partition, offset)
    with transaction() as connection:
        old = read_stored(connection, settings.commands_topic).get(partition)
    new, before = StoredOffset(topic.id, offset), old and old.next_offset
    if old != new:
        confirm(f"{_consequence(settings.commands_topic, partition, old, new)} Go on?", yes=yes)
        with transaction() as connection:
            _write(connection, settings.commands_topic, partition, old, new)
            subject = f"offset {settings.commands_topic}/{partition}"
            audit.record(connection, who, "offsets set", subject, f"{before} → {offset}, topic id {topic.id}")
    if as_json:
        print_json({"partition": partition, "before": before, "offset": offset, "changed": old != new})
        return
    done = "stands there already" if old == new else f"was set from {'nothing' if before is None else before}"
    click.echo(f"Partition {partition} {done}: the next command to handle is {offset}.")


def read_stored(connection: Connection, topic: str) -> Stored:
    """Return the stored offsets of a topic."""
    query = select(stored_offsets).where(stored_offsets.c.topic == topic)
    return {row.partition: StoredOffset(row.topic_id, row.next_offset) for row in connection.execute(query)}


def disagreement(partition: int, stored: StoredOffset | None, topic: Topic) -> str | None:
    """Return what is wrong between the stored offset and the log, None where they agree."""
    log = topic.partitions.get(partition)
    if log is None:
        return "The topic has no such partition"
    if stored is None:
        return None
    return where_to_go_on(stored, topic.id, log.begin, log.end).alarm


def _row(partition: int, stored: StoredOffset | None, topic: Topic) -> dict[str, Any]:
    log = topic.partitions.get(partition)
    next_offset = None if stored is None else stored.next_offset
    return {
        "partition": partition,
        "stored": next_offset,
        "begin": log and log.begin,
        "end": log and log.end,
        "committed": log and log.committed,
        "lag": None if log is None else max(log.end - max(next_offset or 0, log.begin), 0),
        "alarm": disagreement(partition, stored, topic),
    }


def _refuse_nonsense(name: str, topic: Topic, partition: int, offset: int) -> None:
    log = topic.partitions.get(partition)
    if log is None:
        known = ", ".join(map(str, topic.partitions))
        raise Failure(f"Topic {name} has no partition {partition}, it has {known}.")
    if not log.begin <= offset <= log.end:
        raise Failure(
            f"Offset {offset} is not in the log: partition {partition} of {name} begins at {log.begin}, "
            f"and {log.end} is its next one."
        )


def _consequence(name: str, partition: int, old: StoredOffset | None, new: StoredOffset) -> str:
    place = f"{name}/{partition}"
    if old is None:
        return f"{place} has no stored offset yet; handling will begin at {new.next_offset}."
    if old.topic_id != new.topic_id:
        return f"{place} was made anew; handling will begin at {new.next_offset}."
    if new.next_offset < old.next_offset:
        return f"{place}: {new.next_offset} to {old.next_offset - 1} come again; what was handled is recognised."
    return f"{place}: the commands from {old.next_offset} to {new.next_offset - 1} will never be handled or answered."


def _write(connection: Connection, name: str, partition: int, old: StoredOffset | None, new: StoredOffset) -> None:
    """Replace exactly what was shown to the operator. Raises Failure when the service moved it meanwhile."""
    place = {"topic": name, "partition": partition}
    values = {"topic_id": new.topic_id, "next_offset": new.next_offset, "updated_at": func.now()}
    if old is None:
        written = connection.execute(insert(stored_offsets).values(place | values).on_conflict_do_nothing())
    else:
        shown = {**place, "topic_id": old.topic_id, "next_offset": old.next_offset}
        written = connection.execute(update(stored_offsets).filter_by(**shown).values(values))
    if not written.rowcount:
        raise Failure(f"The service moved the offset of {name}/{partition} meanwhile: look again.")
