"""`offsets show|set`: how far the commands are handled, and from where to go on when only a person can tell."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import click
from flask import current_app
from flask.cli import AppGroup
from sqlalchemy import Connection, delete, func, select, update
from sqlalchemy.dialects.postgresql import insert

from app.cli import audit, broker, cluster
from app.cli.arguments import confirm, yes_option
from app.cli.broker import Partition, Topic
from app.cli.database import transaction
from app.cli.handled import MOST_READ, not_recognised
from app.cli.output import Failure, json_option, print_json, print_table
from app.config.config import Settings
from app.kafka.log_check import is_other_topic, where_to_go_on
from app.models.models import consumer_checkpoints
from app.models.models import consumer_offsets as stored_offsets
from app.models.records import Floor, StoredOffset, digest
from app.services.command_store import stored_offset

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
    topic = our_topic(settings)
    rows = [_row(partition, stored.get(partition), topic) for partition in sorted({*topic.partitions, *stored})]
    if as_json:
        print_json({"topic": settings.commands_topic, "group": settings.group_id, "partitions": rows})
        return
    print_table(TABLE, rows)


@group.command("set")
@click.option("--partition", type=int, required=True, help="Partition of the commands topic.")
@click.option("--offset", type=int, required=True, help="The next command to handle.")
@click.option("--do-again", is_flag=True, help="With --yes: also where commands would be done a second time.")
@yes_option
@audit.as_option
@json_option
def set_offset(partition: int, offset: int, do_again: bool, yes: bool, who: str, as_json: bool) -> None:
    """Set the stored offset of one partition: the next command to handle.

    Going back: commands that this service handled are recognised by their bytes for COMMAND_IDENTITY_DAYS, and nothing
    is done twice. Older ones, and those that another service handled before this one took its place, are not: they
    would be done again. The log is compared, and that is said before anything is changed. What is skipped is never
    handled or answered. A running service follows within 5 s.

    \b
    Examples:
      flask orders offsets set --partition 0 --offset 4711
      flask orders offsets set --partition 2 --offset 0 --yes --as alice
    """
    settings: Settings = current_app.extensions["settings"]
    topic = our_topic(settings)
    _refuse_nonsense(settings.commands_topic, topic, partition, offset)
    with transaction() as connection:
        old = read_stored(connection, settings.commands_topic).get(partition)
    taken_over = None if old else _floor(topic.partitions[partition].committed)
    new, before = StoredOffset(topic.id, offset, floor=taken_over), old and old.next_offset
    stands = old is not None and (old.topic_id, old.next_offset) == (topic.id, offset)
    if not stands:
        again = _done_again(settings, topic, partition, old, new)
        if again and yes and not do_again:
            raise Failure(f"{again} Nothing was changed; add --do-again if that is what you want.")
        consequence = again or _consequence(settings.commands_topic, partition, old, new)
        confirm(f"{consequence} Go on?", yes=yes)
        with transaction() as connection:
            _write(connection, settings.commands_topic, partition, old, new)
            subject = f"offset {settings.commands_topic}/{partition}"
            audit.record(connection, who, "offsets set", subject, f"{before} → {offset}, topic id {topic.id}")
    if as_json:
        print_json({"partition": partition, "before": before, "offset": offset, "changed": not stands})
        return
    done = "stands there already" if stands else f"was set from {'nothing' if before is None else before}"
    click.echo(f"Partition {partition} {done}: the next command to handle is {offset}.")


@group.command("forget")
@click.option("--partition", type=int, required=True, help="A partition that the topic does not have any more.")
@yes_option
@audit.as_option
@json_option
def forget_offset(partition: int, yes: bool, who: str, as_json: bool) -> None:
    """Take away the stored offset of a partition that the topic does not have any more.

    \b
    Examples:
      flask orders offsets forget --partition 5
    """
    settings: Settings = current_app.extensions["settings"]
    topic, place = our_topic(settings), {"topic": settings.commands_topic, "partition": partition}
    if partition in topic.partitions:
        raise Failure(f"Topic {settings.commands_topic} has partition {partition}: `offsets set` moves its offset.")
    with transaction() as connection:
        old = read_stored(connection, settings.commands_topic).get(partition)
    if old is None:
        raise Failure(f"There is no stored offset of {settings.commands_topic}/{partition}.")
    question = f"{settings.commands_topic}/{partition} is not there any more; it was handled up to {old.next_offset}."
    confirm(f"{question} Forget it?", yes=yes)
    with transaction() as connection:
        connection.execute(delete(stored_offsets).filter_by(**place))
        connection.execute(delete(consumer_checkpoints).filter_by(**place))
        subject = f"offset {settings.commands_topic}/{partition}"
        audit.record(connection, who, "offsets forget", subject, f"{old.next_offset}, topic id {old.topic_id}")
    if as_json:
        print_json({"partition": partition, "before": old.next_offset, "offset": None})
        return
    click.echo(f"The stored offset of partition {partition} is forgotten.")


group.add_command(cluster.accept_cluster)


def read_stored(connection: Connection, topic: str) -> Stored:
    """Return the stored offsets of a topic."""
    query = select(stored_offsets).where(stored_offsets.c.topic == topic)
    return {row.partition: _stored(row) for row in connection.execute(query)}


def our_topic(settings: Settings) -> Topic:
    """Return the commands topic of the cluster that the stored offsets are of. Raises Failure."""
    topic = broker.commands_topic(settings)
    cluster.require_ours(settings, topic.cluster_id)
    return topic


def _stored(row: Any) -> StoredOffset:
    last = (row.last_offset, row.last_timestamp, row.last_hash, row.last_epoch)
    return stored_offset(row.topic_id, row.next_offset, *last, row.floor_offset, row.floor_at)


def disagreement(partition: int, stored: StoredOffset | None, topic: Topic) -> str | None:
    """Return what is wrong between the stored offset and the log, None where they agree."""
    log = topic.partitions.get(partition)
    if log is None:
        return f"The topic has no such partition (`flask orders offsets forget --partition {partition}`)"
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
        "alarm": disagreement(partition, stored, topic) or (log and _held(log)),
    }


def _held(log: Partition) -> str | None:
    if log.readable >= log.end:
        return None
    return f"An open transaction holds the partition from {log.readable} on: nothing there can be read until it ends"


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


def _floor(committed: int | None) -> Floor | None:
    """Return where this service takes the place of the group's consumer, as its own first look would store it."""
    return None if committed is None else Floor(committed, datetime.now().astimezone())


def _consequence(name: str, partition: int, old: StoredOffset | None, new: StoredOffset) -> str:
    place = f"{name}/{partition}"
    if old is None:
        return f"{place} has no stored offset yet; handling will begin at {new.next_offset}."
    if is_other_topic(old.topic_id, new.topic_id):
        return f"{place} was made anew; handling will begin at {new.next_offset}."
    if new.next_offset < old.next_offset:
        return f"{place}: {new.next_offset} to {old.next_offset - 1} come again; what was handled is recognised."
    return f"{place}: the commands from {old.next_offset} to {new.next_offset - 1} will never be handled or answered."


def _done_again(
    settings: Settings, topic: Topic, partition: int, old: StoredOffset | None, new: StoredOffset
) -> str | None:
    """Return what would be done a second time, None where everything is recognised."""
    floor = old.floor if old else new.floor
    if old is None and floor is None:
        return None
    end, before = old.next_offset if old else topic.partitions[partition].committed or 0, None
    if old is not None and is_other_topic(old.topic_id, new.topic_id):
        end, before = topic.partitions[partition].end, floor.taken_at if floor else None
        if before is None:
            return None
    end = min(end, topic.partitions[partition].end)
    if new.next_offset >= end or (old and _is_another_log(settings, partition, old, end)):
        return None
    place = f"{settings.commands_topic}/{partition}"
    count, seen, first = not_recognised(settings, partition, new.next_offset, end, before)
    at = floor.offset if floor else None
    took_over = f" This service took the place of another at {at}." if at is not None else ""
    if count:
        return (
            f"{place}: {count} of the commands from {first} to {end - 1} are not recognised any more and would be done "
            f"again.{took_over}"
        )
    if seen >= MOST_READ:
        return f"{place}: the first {seen} commands are recognised; of those after them that is not known.{took_over}"
    return None


def _is_another_log(settings: Settings, partition: int, old: StoredOffset, end: int) -> bool:
    """Tell whether the log holds another record where the last one was handled: what is there now came later."""
    handled = old.behind
    if handled is None or handled.offset >= end:
        return False
    found = list(broker.records(settings, settings.commands_topic, partition, handled.offset, handled.offset + 1))
    return any((it.timestamp, digest(it.key, it.value)) != (handled.timestamp, handled.digest) for it in found)


def _write(connection: Connection, name: str, partition: int, old: StoredOffset | None, new: StoredOffset) -> None:
    """Replace exactly what was shown to the operator. Raises Failure when the service moved it meanwhile."""
    place = {"topic": name, "partition": partition}
    unknown = dict.fromkeys(("last_offset", "last_timestamp", "last_hash", "last_epoch"))
    values = {"topic_id": new.topic_id, "next_offset": new.next_offset, "updated_at": func.now(), **unknown}
    if old is not None and is_other_topic(old.topic_id, new.topic_id):
        values["floor_offset"] = None
    connection.execute(delete(consumer_checkpoints).filter_by(**place))  # they may be of another log
    if old is None:
        if new.floor is not None:
            values |= {"floor_offset": new.floor.offset, "floor_at": new.floor.taken_at}
        written = connection.execute(insert(stored_offsets).values(place | values).on_conflict_do_nothing())
    else:
        shown = {**place, "topic_id": old.topic_id, "next_offset": old.next_offset}
        written = connection.execute(update(stored_offsets).filter_by(**shown).values(values))
    if not written.rowcount:
        raise Failure(f"The service moved the offset of {name}/{partition} meanwhile: look again.")
