"""`outbox find-lost` and `outbox announce-again`: events that Kafka had acknowledged and does not have any more."""

import uuid
from collections.abc import Iterable, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta

import click
from flask import current_app
from flask.cli import AppGroup
from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError
from sqlalchemy import Connection, Select, and_, delete, insert, or_, select, update
from sqlalchemy.dialects.postgresql import insert as upsert

from app.cli import audit
from app.cli.arguments import confirm, yes_option
from app.cli.database import transaction
from app.cli.output import Failure, json_option, print_json
from app.config.config import Settings
from app.database.rows import to_state
from app.database.statements import ORDER
from app.kafka import clients
from app.models.models import Order, known_events, lost_events, order_changes, outbox, taken_out_events
from app.utils.deadline import Deadline
from app.wire.announcements import Line, announcement

MOST = 200_000  # changes that are compared at once, about 40 MiB
MARGIN = timedelta(minutes=10)  # between the clocks of database and broker
LOOK_UP_MS = 5_000
READ_SECONDS = 10.0  # without a record
SECONDS = 120
PORTION = 1000

_changes = order_changes.c
_LINE = ("change_id", "order_id", "version", "kind", "to_status", "runner_id", "door", "correlation_id", "created_at")


def add_to(group: AppGroup) -> AppGroup:
    """Return the group with both commands in it."""
    for command in (find_lost, announce_again):
        group.add_command(command)
    return group


@click.command("find-lost")
@click.option("--hours", type=click.IntRange(1, 24 * 365), default=24, show_default=True, help="How far back to look.")
@click.option(
    "--http-created",
    is_flag=True,
    help="Also orders made over HTTP: history does not tell those of testCreateOrder, which announces none, apart.",
)
@audit.as_option
@json_option
def find_lost(hours: int, http_created: bool, who: str, as_json: bool) -> None:
    """Find changes whose event is not on the topic: Kafka came back with an older copy, or lost it otherwise.

    Compares the history of so many hours with all that lies on the topic since. `check` tells of what is found until
    it is announced again. It reads the topic, and changes nothing there.

    \b
    Examples:
      flask orders outbox find-lost --hours 3
      flask orders outbox find-lost --hours 48 --json
    """
    settings: Settings = current_app.extensions["settings"]
    since = datetime.now(UTC) - timedelta(hours=hours)
    with transaction(SECONDS, snapshot=True) as connection:
        changes = {row.change_id: row for row in connection.execute(_announced(since, http_created))}
    if len(changes) > MOST:
        raise Failure(f"There are over {MOST} changes since {since:%Y-%m-%d %H:%M}: take fewer --hours.")
    for event_ids in _event_ids(settings, since - MARGIN):
        for event_id in event_ids:
            changes.pop(event_id, None)
    lost = sorted(changes.values(), key=lambda row: (row.order_id, row.version))
    with transaction(SECONDS) as connection:
        for row in lost:
            values = {"change_id": row.change_id, "order_id": row.order_id, "version": row.version}
            anew = {"found_at": datetime.now(UTC), "announced_at": None}
            connection.execute(
                upsert(lost_events).values(values).on_conflict_do_update(index_elements=["change_id"], set_=anew)
            )
        audit.record(connection, who, "find-lost", settings.events_topic, f"{len(lost)} events since {since}")
    if as_json:
        print_json({"lost": [{"order_id": row.order_id, "version": row.version} for row in lost]})
        return
    click.echo(f"{len(lost)} events are lost." if lost else "No event is lost.")


def _announced(since: datetime, http_created: bool) -> Select[tuple[uuid.UUID, str, int]]:
    """The changes that have left the outbox for the topic. Nothing that waits, or that an operator took out."""
    waits = select(outbox.c.event_id)
    out = select(taken_out_events.c.event_id).where(taken_out_events.c.put_back_at.is_(None))
    query = select(_changes.change_id, _changes.order_id, _changes.version).where(
        _changes.created_at >= since, _changes.change_id.not_in(waits), _changes.change_id.not_in(out)
    )
    if not http_created:
        query = query.where(or_(_changes.door == "kafka", _changes.kind != "created"))
    return query.limit(MOST + 1)


def _event_ids(settings: Settings, since: datetime) -> Iterable[Sequence[uuid.UUID]]:
    """Yield the event ids on the topic since then, up to its end as of now. Raises Failure."""
    patience = Deadline(READ_SECONDS)
    try:
        with closing(clients.reader(settings)) as reader:
            unread = _start(reader, settings.events_topic, since)
            while unread:
                polled = reader.poll(timeout_ms=500)
                if polled:
                    patience = Deadline(READ_SECONDS)
                elif patience.passed:
                    raise Failure(f"The topic {settings.events_topic} cannot be read to its end.")
                yield [_event_id(record.headers) for records in polled.values() for record in records]
                unread = {
                    place: end for place, end in unread.items() if reader.position(place, timeout_ms=LOOK_UP_MS) < end
                }
    except KafkaError as error:
        raise Failure(f"The topic {settings.events_topic} cannot be read ({type(error).__name__}).") from None


def _start(reader: KafkaConsumer, topic: str, since: datetime) -> dict[TopicPartition, int]:
    """Go to the first records since then; return where each partition with some ends."""
    places = [TopicPartition(topic, partition) for partition in sorted(reader.partitions_for_topic(topic) or ())]
    if not places:
        raise Failure(f"There is no topic {topic}.")
    begins = reader.beginning_offsets(places, timeout_ms=LOOK_UP_MS)
    ends = reader.end_offsets(places, timeout_ms=LOOK_UP_MS)
    at = reader.offsets_for_times(dict.fromkeys(places, int(since.timestamp() * 1000)), timeout_ms=LOOK_UP_MS)
    reader.assign(places)
    for place in places:
        found = at[place].offset if at.get(place) else ends[place]
        if 0 < begins[place] == found:
            raise Failure(
                f"Partition {place.partition} of {topic} does not hold so much any more: its first records were "
                "deleted by retention. Take fewer --hours."
            )
        reader.seek(place, found)
    return {place: ends[place] for place in places if reader.position(place, timeout_ms=LOOK_UP_MS) < ends[place]}


def _event_id(headers: Sequence[tuple[str, bytes | None]]) -> uuid.UUID:
    value = next((value for name, value in headers if name == "event_id"), None) or b""
    try:
        return uuid.UUID(value.decode())
    except ValueError:
        return uuid.UUID(int=0)  # somebody else's record


@click.command("announce-again")
@yes_option
@audit.as_option
@json_option
def announce_again(yes: bool, who: str, as_json: bool) -> None:
    """Announce the events again that `find-lost` has found: with their event ids and versions, from the history.

    They go behind what waits, in the order in which they were made; consumers that have later versions of an order get
    them late. The `event` text of an HTTP event is the order as it is now, with the version that it has now. Replies
    that announced no change (refusals, repeats) are nowhere and stay lost.

    \b
    Examples:
      flask orders outbox announce-again
      flask orders outbox announce-again --yes --as alice --json
    """
    confirm("Consumers get the lost events again, behind what has left since. Go on?", yes=yes)
    total = 0
    while True:
        with transaction(SECONDS) as connection:
            count = _announce(connection)
            if count:
                audit.record(connection, who, "announce-again", "lost_events", f"{count} events")
        total += count
        if count < PORTION:
            break
    if as_json:
        print_json({"announced": total})
        return
    click.echo(f"{total} events wait for Kafka again." if total else "No event is known to be lost.")


def _announce(connection: Connection) -> int:
    """Put the oldest of them into the outbox; return how many."""
    orders = Order.__table__.c
    query = (
        select(*(_changes[name] for name in _LINE), *(orders[name].label(f"order_{name}") for name in ORDER))
        .select_from(
            lost_events.join(order_changes, _changes.change_id == lost_events.c.change_id).join(
                Order.__table__, orders.order_id == _changes.order_id
            )
        )
        .where(
            and_(
                lost_events.c.announced_at.is_(None),
                _changes.order_id == lost_events.c.order_id,
                _changes.version == lost_events.c.version,
            )
        )
        .order_by(_changes.created_at, _changes.order_id, _changes.version)
        .limit(PORTION)
        .with_for_update(of=lost_events)
    )
    rows = connection.execute(query).all()
    for row in rows:
        line = Line(*row[: len(_LINE)])
        event = announcement(line, to_state(row[len(_LINE) :]))
        waiting = {"event_id": line.change_id, "aggregateid": line.order_id, "type": event.type}
        waiting |= {"correlation_id": line.correlation_id, "version": line.version, "payload": event.payload}
        connection.execute(insert(outbox).values(waiting))
    ids = [row.change_id for row in rows]
    connection.execute(delete(known_events).where(known_events.c.event_id.in_(ids)))  # they are in no log any more
    connection.execute(
        update(lost_events).where(lost_events.c.change_id.in_(ids)).values(announced_at=datetime.now(UTC))
    )
    return len(rows)
