"""The questions of `why` to our tables: each finds its rows by an index, MOST at the most, the newest first."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Select, or_, select, union

from app.kafka.operator import Place
from app.models.kafka_tables import command_identities, lost_events, outbox, taken_out_events
from app.models.models import Order, idempotency_keys, order_changes, refused_accepts
from app.wire.bodies import CHANGE_PATHS

MOST = 10

_orders = Order.__table__.c


@dataclass(frozen=True, slots=True)
class Sought:
    """By what facts are looked for. `ids`: order, saga and correlation ids; `hashes`, `event_ids`: of commands that the
    log has shown; without `ids` the event itself is asked about."""

    key: str
    ids: frozenset[str]
    place: Place | None = None
    hashes: frozenset[bytes] = frozenset()
    event_ids: frozenset[UUID] = frozenset()


def of_orders(ids: Sequence[str]) -> Select[Any]:
    """Return the query for the orders of these ids, and of sagas with them."""
    columns = (_orders[name] for name in ("order_id", "order_status", "version", "saga_id"))
    known = or_(_orders.order_id.in_(ids), _orders.saga_id.in_(ids))
    return select(*columns).where(known).order_by(_orders.created_at.desc()).limit(MOST)


def answers(key: str) -> Select[Any]:
    """Return the query for the answers under the key."""
    columns = idempotency_keys.c
    return select(columns.path, columns.status, columns.body, columns.created_at).where(
        columns.path.in_(CHANGE_PATHS), columns.key == key
    )


def unfulfilled(ids: Sequence[str], sought: Sought) -> Select[Any]:
    """Return the query for the commands that changed nothing, or came again."""
    columns = command_identities.c
    # One branch for each index.
    found = union(
        *(
            select(columns.hash).where(condition)
            for condition in (
                columns.order_id.in_(ids),
                columns.correlation_id.in_(ids),
                columns.hash.in_(sorted(sought.hashes)),
            )
        )
    )
    known = columns.hash.in_(found)
    return select(command_identities).where(known).order_by(columns.created_at.desc()).limit(MOST)


def set_aside(table: Any, sought: Sought) -> Select[Any]:
    """Return the query for a record that was kept with its bytes. By its event id the look is quick."""
    columns = table.c
    conditions: list[ColumnElement[bool]] = [columns.event_id.in_(sorted(sought.event_ids))]
    if sought.place is not None and not sought.event_ids:
        place = sought.place
        conditions.append(
            (columns.topic == place.topic) & (columns.partition == place.partition) & (columns.offset == place.offset)
        )
    if "correlation_id" in columns:
        conditions.append(columns.correlation_id.in_(sorted(sought.ids)))
    kept = [column for column in columns if column.name not in ("key", "value")]
    return select(*kept).where(or_(*conditions)).order_by(columns.id.desc()).limit(MOST)


def refused(order_ids: Sequence[str]) -> Select[Any]:
    """Return the query for the accepts of these orders that were refused."""
    columns = refused_accepts.c
    at = columns.refused_at
    return select(columns.order_id, at).where(columns.order_id.in_(order_ids)).order_by(at.desc()).limit(MOST)


def waiting(ids: Sequence[str], sought: Sought) -> ColumnElement[bool]:
    """Return the condition of the events and replies in the outbox, which has no index for it (outbox_rows.py)."""
    columns = outbox.c
    events = columns.event_id.in_(sorted(sought.event_ids))
    return or_(columns.aggregateid.in_(ids), columns.correlation_id.in_(ids), events)


def changes(condition: ColumnElement[bool]) -> Select[Any]:
    """Return the query for the changes that fulfil the condition."""
    newest = order_changes.c.created_at.desc(), order_changes.c.version.desc()
    return select(order_changes).where(condition).order_by(*newest).limit(MOST)


def taken_out(ids: Sequence[str], sought: Sought) -> Select[Any]:
    """Return the query for the events that an operator took out of the outbox."""
    columns = taken_out_events.c
    kept = [column for column in columns if column.name != "payload"]
    events = columns.event_id.in_(sorted(sought.event_ids))
    known = or_(columns.aggregateid.in_(ids), columns.correlation_id.in_(ids), events)
    return select(*kept).where(known, columns.put_back_at.is_(None)).limit(MOST)


def lost(order_ids: Sequence[str], sought: Sought) -> Select[Any]:
    """Return the query for the events that Kafka has lost."""
    columns = lost_events.c
    known = or_(columns.order_id.in_(order_ids), columns.change_id.in_(sorted(sought.event_ids)))
    return select(lost_events).where(known, columns.announced_at.is_(None)).limit(MOST)
