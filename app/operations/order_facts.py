"""What the tables know of one order, as of one instant: its history, its commands that changed nothing, what waits."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, and_, or_, select

from app.config.config import Settings
from app.models.kafka_tables import command_identities, consumer_offsets, lost_events, outbox, taken_out_events
from app.models.models import idempotency_keys, order_changes
from app.models.order import OrderState
from app.operations import orders, outbox_rows, refusals
from app.operations.orders import ChangeLine
from app.operations.refusals import Refused
from app.operations.transaction import select_as, transaction

MOST = 200  # changes, and commands that changed nothing: the newest
WAITS = "waits in the outbox"


@dataclass(frozen=True, slots=True)
class CommandFact:
    """A command that changed nothing (`outcome`: the refusal's code or `unchanged`) or came again (`repeats`)."""

    type: str
    correlation_id: str
    order_id: str | None
    outcome: str | None
    partition: int | None
    offset: int | None
    repeats: int | None
    repeated_at: datetime | None
    repeated_partition: int | None
    repeated_offset: int | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class HeldEvent:
    """An event or a reply that is not on the topic, and in words where it is."""

    event_id: UUID
    type: str | None
    correlation_id: str | None
    version: int | None
    state: str


@dataclass(frozen=True, slots=True)
class OrderFacts:
    """`keys`: of answers, by the time at which they were stored, that of their change; `topic_ids`: by partition of the
    commands."""

    order: OrderState
    changes: Sequence[ChangeLine]
    commands: Sequence[CommandFact]
    keys: Mapping[datetime, str]
    topic_ids: Mapping[int, UUID]
    held: Sequence[HeldEvent]
    refused: Sequence[Refused]
    notes: Sequence[str]


def read(settings: Settings, order_id: str) -> OrderFacts:
    """Return what is known. Raises NotFound and DatabaseUnusable. Commits nothing; blocks as a transaction does."""
    with transaction(settings, snapshot=True) as connection:
        order = orders.load(connection, order_id)
        changes = _changes(connection, order_id)
        commands = _commands(connection, order, changes)
        keys = _keys(connection, [line.at for line in changes if line.door == "http"])
        topic = consumer_offsets.c
        offsets = select(topic.partition, topic.topic_id).where(topic.topic == settings.commands_topic)
        topic_ids = {row.partition: row.topic_id for row in connection.execute(offsets)}
        held = _taken_out_or_lost(connection, order_id)
        refused = refusals.read(connection, refusals.of_orders([order_id]))
        waiting = _waiting(connection, order_id, changes, commands)
    notes = [] if waiting is not None else ["The outbox was not looked through in time: see `flask orders outbox`."]
    if len(changes) == MOST:
        notes.append(f"Only the newest {MOST} changes are shown: {changes[0].version - 1} came before.")
    if len(commands) == MOST:
        notes.append(f"Only the newest {MOST} commands that changed nothing or came again are shown.")
    return OrderFacts(order, changes, commands, keys, topic_ids, [*held, *(waiting or ())], refused, notes)


def _changes(connection: Connection, order_id: str) -> list[ChangeLine]:
    """Return the newest changes, the oldest of them first."""
    lines = orders.changes_of(order_id).order_by(order_changes.c.version.desc()).limit(MOST)
    return [ChangeLine(*row) for row in connection.execute(lines)][::-1]


def _commands(connection: Connection, order: OrderState, changes: Sequence[ChangeLine]) -> list[CommandFact]:
    """Return the order's commands that changed nothing or came again, and those of its sagas that name no order."""
    known = command_identities.c
    sagas = {line.correlation_id for line in changes if line.topic is not None}
    sagas |= set() if order.saga_id is None else {order.saga_id}
    of_saga = and_(known.correlation_id.in_(sagas), known.order_id.is_(None))
    query = select_as(CommandFact, command_identities).where(or_(known.order_id == order.order_id, of_saga))
    newest = query.order_by(known.created_at.desc()).limit(MOST)
    return [CommandFact(*row) for row in connection.execute(newest)][::-1]


def _keys(connection: Connection, times: Sequence[datetime]) -> dict[datetime, str]:
    """Return the Idempotency-Keys of these changes: an answer is stored in the statement that writes its change, so
    both have the same time to the microsecond."""
    stored = idempotency_keys.c
    query = select(stored.created_at, stored.key).where(stored.created_at.in_(times))
    return {row.created_at: row.key for row in connection.execute(query)} if times else {}


def _taken_out_or_lost(connection: Connection, order_id: str) -> list[HeldEvent]:
    out, lost = taken_out_events.c, lost_events.c
    taken = select(taken_out_events).where(out.aggregateid == order_id, out.put_back_at.is_(None))
    gone = select(lost_events).where(lost.order_id == order_id, lost.announced_at.is_(None))
    return [
        *(_held(row, f"was taken out of the outbox: {row.refusal}") for row in connection.execute(taken)),
        *(HeldEvent(row.change_id, None, None, row.version, "is lost") for row in connection.execute(gone)),
    ]


def _waiting(
    connection: Connection, order_id: str, changes: Sequence[ChangeLine], commands: Sequence[CommandFact]
) -> list[HeldEvent] | None:
    """Return what waits for Kafka, None if that cannot be told in time."""
    keys = [order_id, *(fact.correlation_id for fact in commands)]
    times = [*(line.at for line in changes), *(fact.created_at for fact in commands)]
    found = outbox_rows.find(connection, outbox.c.aggregateid.in_(keys), times)
    if found is None:
        return None
    return [_held(row, f"{WAITS}: Kafka refuses it, {row.refusal}" if row.refusal else WAITS) for row in found]


def _held(row: Row[Any], state: str) -> HeldEvent:
    return HeldEvent(row.event_id, row.type, row.correlation_id, row.version, state)
