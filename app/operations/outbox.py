"""Events that wait for Kafka, and the one that Kafka refuses for good: taken out, and put back."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, Row, delete, func, insert, select, text, update
from sqlalchemy.dialects.postgresql import insert as upsert

from app.config.config import Settings
from app.database.lanes import ASIDE_RANGE, EVENTS
from app.models.kafka_tables import outbox as events
from app.models.kafka_tables import taken_out_events
from app.models.models import order_changes
from app.models.operator_errors import NotFound, NotPossible
from app.operations.audit import Operator
from app.operations.lanes import SECONDS, take_lease
from app.operations.transaction import select_as, transaction

_KEPT = ("event_id", "aggregateid", "type", "correlation_id", "version", "payload", "created_at", "traceparent")
_AT_ITS_PLACE = text(
    f"INSERT INTO outbox (id, {', '.join(_KEPT)}) OVERRIDING SYSTEM VALUE "
    f"SELECT :id, {', '.join(_KEPT)} FROM taken_out_events WHERE event_id = :event_id"
)


@dataclass(frozen=True, slots=True)
class WaitingEvent:
    """`bytes`: of its payload; `age`: for how many seconds it waits; `refusal`: why Kafka refuses it, if so."""

    id: int
    event_id: UUID
    aggregateid: str
    type: str
    correlation_id: str
    version: int | None
    refusal: str | None
    created_at: datetime
    bytes: int
    age: Decimal


@dataclass(frozen=True, slots=True)
class OutboxSummary:
    """How many events wait, for how many seconds the oldest does, and the oldest of them."""

    depth: int
    oldest_age_seconds: float | None
    oldest: Sequence[WaitingEvent]


@dataclass(frozen=True, slots=True)
class TakenOut:
    """An event that is in the outbox no more."""

    id: int
    event_id: UUID
    aggregatetype: str
    aggregateid: str
    type: str
    correlation_id: str
    version: int | None
    created_at: datetime
    refusal: str


@dataclass(frozen=True, slots=True)
class PutBack:
    """An event that waits again. `after_version`: the highest later version of its order that consumers get before it,
    None if they get none."""

    event_id: UUID
    aggregateid: str
    type: str
    version: int | None
    after_version: int | None


def waiting(settings: Settings, *, limit: int = 20) -> OutboxSummary:
    """Return what waits for Kafka, the oldest first."""
    age = func.extract("epoch", func.now() - events.c.created_at)
    query = select_as(WaitingEvent, events, func.octet_length(events.c.payload), age)
    with transaction(settings, snapshot=True) as connection:
        depth = connection.scalar(select(func.count()).select_from(events)) or 0
        rows = connection.execute(query.order_by(events.c.id).limit(limit))
        oldest = [WaitingEvent(*row) for row in rows]
    return OutboxSummary(depth, round(float(oldest[0].age), 1) if oldest else None, oldest)


def take_out(operator: Operator, outbox_id: int) -> TakenOut:
    """Take out an event that Kafka refuses; the audit line keeps its bytes. Raises NotFound and NotPossible.

    Blocks up to 20 s until no relay leads the lane.
    """
    with operator.change("take-out", SECONDS) as change:
        _refused(change.connection, outbox_id)
        take_lease(change.connection, EVENTS)
        row = _refused(change.connection, outbox_id)
        change.connection.execute(delete(events).where(events.c.id == outbox_id))
        _keep(change.connection, row)
        taken = TakenOut(*(row._mapping[field.name] for field in fields(TakenOut)))
        detail = ", ".join(f"{name}={value}" for name, value in asdict(taken).items() if name != "id")
        change.record(f"outbox {outbox_id}", detail, row.payload)
    return taken


def put_back(operator: Operator, outbox_id: int) -> PutBack:
    """Put an event back that was taken out; it keeps its event id and version. Raises NotFound.

    The event goes before younger ones of its order that wait, if no relay leads the lane within 20 s, else behind all.
    """
    with operator.change("put-back", SECONDS) as change:
        connection = change.connection
        row = _taken_out(connection, outbox_id)
        place = _place_before_others(connection, row)
        if place is not None:
            connection.execute(_AT_ITS_PLACE, {"event_id": row.event_id, "id": place})
        else:
            connection.execute(insert(events).values({name: row._mapping[name] for name in _KEPT}))
        after = _version_before(connection, row, all_that_wait=place is None)
        kept = taken_out_events.c.event_id == row.event_id
        connection.execute(update(taken_out_events).where(kept).values(put_back_at=func.now()))
        change.record(f"outbox {outbox_id}", f"event_id={row.event_id}, after version={after}")
    return PutBack(row.event_id, row.aggregateid, row.type, row.version, after)


def _refused(connection: Connection, outbox_id: int) -> Row[Any]:
    row = connection.execute(select(events).where(events.c.id == outbox_id)).first()
    if row is None:
        raise NotFound(f"There is no event {outbox_id} in the outbox.")
    if row.refusal is None:
        raise NotPossible(
            f"Kafka has not refused event {outbox_id}: it waits, and leaves when Kafka takes it. Nothing was changed."
        )
    return row


def _keep(connection: Connection, row: Row[Any]) -> None:
    kept = {name: row._mapping[name] for name in (*_KEPT, "refusal")} | {"outbox_id": row.id}
    anew = kept | {"taken_out_at": func.now(), "put_back_at": None}  # it was taken out and put back before
    connection.execute(
        upsert(taken_out_events).values(kept).on_conflict_do_update(index_elements=["event_id"], set_=anew)
    )


def _taken_out(connection: Connection, outbox_id: int) -> Row[Any]:
    kept = taken_out_events.c
    query = select(taken_out_events).where(kept.outbox_id == outbox_id, kept.put_back_at.is_(None)).with_for_update()
    row = connection.execute(query).first()
    if row is None:
        raise NotFound(f"No event {outbox_id} is out of the outbox.")
    return row


def _place_before_others(connection: Connection, row: Row[Any]) -> int | None:
    """Return the id that has its place before younger ones of its order that wait, None if it goes behind."""
    if not connection.scalar(select(select(events).where(*_is_younger(row)).exists())):
        return None
    try:
        with connection.begin_nested():
            take_lease(connection, EVENTS)
    except NotPossible:  # a relay leads, and may have them in hand
        return None
    first: int | None = connection.scalar(select(func.min(events.c.id)).where(*_is_younger(row)))
    if first is None:
        return None
    # If they are set aside for their partition, it goes into the same range, to the place of its first id.
    return int(row.outbox_id) % ASIDE_RANGE + first - first % ASIDE_RANGE


def _is_younger(row: Row[Any]) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return events.c.aggregateid == row.aggregateid, events.c.version > row.version


def _version_before(connection: Connection, row: Row[Any], *, all_that_wait: bool) -> int | None:
    """Return the highest version of the order that consumers have before the event, None if none is younger."""
    changes = order_changes.c
    query = select(func.max(changes.version)).where(changes.order_id == row.aggregateid, changes.version > row.version)
    if not all_that_wait:
        query = query.where(changes.version.not_in(select(events.c.version).where(*_is_younger(row))))
    found: int | None = connection.scalar(query)
    return found
