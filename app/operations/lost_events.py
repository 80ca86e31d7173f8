"""Events that Kafka had acknowledged and does not have any more: found, and announced again from the history."""

from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Select, delete, insert, or_, select, update
from sqlalchemy.dialects.postgresql import insert as upsert

from app.config.config import Settings
from app.database.orders_sql import ORDER_COLUMNS
from app.database.rows import to_state
from app.kafka import operator as kafka
from app.models.kafka_tables import known_events, lost_events, outbox, taken_out_events
from app.models.models import Order, order_changes
from app.models.operator_errors import NotPossible
from app.operations.audit import Operator
from app.operations.transaction import select_as, transaction
from app.wire.announcements import HistoryLine, announcement

MOST = 200_000  # changes that are compared at once, about 40 MiB
MARGIN = timedelta(minutes=10)  # between the clocks of database and broker
SECONDS = 120
PORTION = 1000

_changes = order_changes.c
_orders = Order.__table__


@dataclass(frozen=True, slots=True)
class LostEvent:
    """The change whose event is not on the topic."""

    order_id: str
    version: int


def find_lost(operator: Operator, *, hours: int = 24, http_created: bool = False) -> list[LostEvent]:
    """Compare the history of so many hours with all that lies on the events topic since; remember what is missing.

    `http_created`: also creates over HTTP, of which history does not tell whether they were announced. Blocks until
    the topic is read. Raises NotPossible if the changes are too many, or retention has deleted records since then.
    """
    settings = operator.settings
    since = datetime.now(UTC) - timedelta(hours=hours)
    changes = _announced(settings, since, http_created)
    for event_ids in kafka.event_ids(settings, settings.events_topic, since - MARGIN):
        for event_id in event_ids:
            changes.pop(event_id, None)
    lost = sorted(changes.items(), key=lambda change: (change[1].order_id, change[1].version))
    anew = {"found_at": datetime.now(UTC), "announced_at": None}
    with operator.change("find-lost", SECONDS) as made:
        for change_id, event in lost:
            row = {"change_id": change_id, "order_id": event.order_id, "version": event.version}
            made.connection.execute(
                upsert(lost_events).values(row).on_conflict_do_update(index_elements=["change_id"], set_=anew)
            )
        made.record(settings.events_topic, f"{len(lost)} events since {since}")
    return [event for _, event in lost]


def announce_again(operator: Operator) -> int:
    """Put the lost events into the outbox again, behind what waits; return how many. Commits PORTION at a time.

    Raises NotPossible if the history has a change that nothing makes.
    """
    total, count = 0, PORTION
    while count == PORTION:
        with operator.change("announce-again", SECONDS) as change:
            count = _announce(change.connection)
            if count:
                change.record("lost_events", f"{count} events")
        total += count
    return total


def _announced(settings: Settings, since: datetime, http_created: bool) -> dict[UUID, LostEvent]:
    """Return the changes that have left the outbox for the topic: nothing that waits, or that was taken out."""
    waits = select(outbox.c.event_id)
    out = select(taken_out_events.c.event_id).where(taken_out_events.c.put_back_at.is_(None))
    query = select(_changes.change_id, _changes.order_id, _changes.version).where(
        _changes.created_at >= since, _changes.change_id.not_in(waits), _changes.change_id.not_in(out)
    )
    if not http_created:
        query = query.where(or_(_changes.door == "kafka", _changes.kind != "created"))
    with transaction(settings, SECONDS, snapshot=True) as connection:
        rows = connection.execute(query.limit(MOST + 1))
        found = {row.change_id: LostEvent(row.order_id, row.version) for row in rows}
    if len(found) > MOST:
        raise NotPossible(f"There are over {MOST} changes since {since:%Y-%m-%d %H:%M}: take fewer --hours.")
    return found


def _announce(connection: Connection) -> int:
    """Put the oldest of them into the outbox; return how many."""
    width = len(fields(HistoryLine))
    rows = connection.execute(_oldest_lost()).all()
    for row in rows:
        line = HistoryLine(*row[:width])
        try:
            event = announcement(line, to_state(row[width:]))
        except ValueError as error:
            change = f"version {line.version} of order {line.order_id}"
            raise NotPossible(f"Nothing makes such a change as {change}, so its event is lost: {error}.") from None
        waiting = {"event_id": line.change_id, "aggregateid": line.order_id, "type": event.type}
        waiting |= {"correlation_id": line.correlation_id, "version": line.version, "payload": event.payload}
        waiting |= {"traceparent": line.traceparent}
        connection.execute(insert(outbox).values(waiting))
    ids = [row.change_id for row in rows]
    connection.execute(delete(known_events).where(known_events.c.event_id.in_(ids)))  # they are in no log any more
    connection.execute(
        update(lost_events).where(lost_events.c.change_id.in_(ids)).values(announced_at=datetime.now(UTC))
    )
    return len(rows)


def _oldest_lost() -> Select[Any]:
    lost = lost_events.c
    return (
        select_as(HistoryLine, order_changes, *(_orders.c[name].label(f"order_{name}") for name in ORDER_COLUMNS))
        .select_from(lost_events)
        .join(order_changes, _changes.change_id == lost.change_id)
        .join(_orders, _orders.c.order_id == _changes.order_id)
        .where(lost.announced_at.is_(None), _changes.order_id == lost.order_id, _changes.version == lost.version)
        .order_by(_changes.created_at, _changes.order_id, _changes.version)
        .limit(PORTION)
        .with_for_update(of=lost_events)
    )
