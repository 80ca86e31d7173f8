"""How far commands are handled, and what a batch of them reads and writes, in PostgreSQL.

A batch is one transaction: it moves the stored offset, which locks it, claims the identities of its commands, locks
their orders in the order of their ids, and writes with one statement a table. An order that several commands change is
written once, in its last state and guarded on its first version.
"""

import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from operator import attrgetter, itemgetter
from typing import Any

from app.database import batches_sql as sql
from app.database.arrays import as_columns
from app.database.command_facts import WRITE_FACTS, Unfulfilled, fact_rows
from app.database.orders_sql import LOCK_ORDERS
from app.database.pool import Session, Transactions
from app.database.rows import to_row, to_state
from app.database.statement import Statement
from app.models.commands import CreateOrder
from app.models.errors import CommandFault, OffsetMoved, ServiceTrouble, ValuesRefused
from app.models.order import OrderState
from app.models.records import (
    NO_EPOCH,
    Batch,
    Checkpoint,
    ReceivedCommand,
    Record,
    StoredOffset,
    TakeOver,
    UnreadRecord,
    identity,
)
from app.models.rules import Change
from app.utils.deadline import Deadline
from app.utils.ids import reply_id, saga_order_id
from app.utils.limits import BATCH_SECONDS
from app.wire.command_types import COMMAND_TYPES
from app.wire.replies import Reply

CALL_SECONDS = 5.0

Received = tuple[Record, ReceivedCommand]

_change_row = itemgetter(*sql.CHANGE_COLUMNS)
_event_row = attrgetter("event_id", "key", "type", "correlation_id", "version", "payload", "traceparent")


@dataclass(frozen=True, slots=True)
class LockedBatch:
    """What a batch found: its commands that are seen for the first time, and their orders, which it holds locked.

    `sagas`: by saga id, the order that was made for it before; `new_order_ids`: the order that a create of this batch
    makes for it.
    """

    commands: Sequence[Received]
    orders: dict[str, OrderState]
    sagas: dict[str, str]
    new_order_ids: dict[str, str]


@dataclass(slots=True)
class BatchEffects:
    """What a batch writes: each order in its last state, by its id, and a reply for each command.

    `updated` has the version that the order had before the batch; `changes` go into the history under the event id of
    their reply; `unfulfilled` are the commands that changed nothing; `given_up` are those that cannot be handled, with
    the reason; `outcomes` are for the metrics.
    """

    created: dict[str, OrderState] = field(default_factory=dict)
    updated: dict[str, tuple[OrderState, int]] = field(default_factory=dict)
    changes: list[tuple[Change, uuid.UUID, Record, ReceivedCommand]] = field(default_factory=list)
    replies: list[Reply] = field(default_factory=list)
    dead_letters: list[tuple[Record, str]] = field(default_factory=list)
    unfulfilled: list[Unfulfilled] = field(default_factory=list)
    given_up: list[tuple[Record, ReceivedCommand, str]] = field(default_factory=list)
    outcomes: list[tuple[str, str]] = field(default_factory=list)


class BatchStore:
    """The stored offsets, each call a transaction, and the transactions of batches. All raise DatabaseTrouble."""

    def __init__(self, pool: Transactions, identity_days: int) -> None:
        """`identity_days`: a command is known by its bytes for so long at least."""
        self._pool = pool
        self._identity_days = identity_days

    def offset(self, topic: str, partition: int) -> StoredOffset | None:
        """Return the stored offset."""
        rows = self._pool.run(sql.FIND_OFFSET, (topic, partition), Deadline(CALL_SECONDS))
        return stored_offset(*rows[0]) if rows else None

    def store_first_offset(self, topic: str, partition: int, offset: StoredOffset) -> None:
        """Store the offset if there is none yet."""
        take_over = (None, None) if offset.take_over is None else (offset.take_over.offset, offset.take_over.taken_at)
        row = (topic, partition, offset.topic_id, offset.next_offset, *take_over)
        self._pool.run(sql.FIRST_OFFSET, row, Deadline(CALL_SECONDS))

    def reset_offset(self, topic: str, partition: int, old: StoredOffset, new: StoredOffset) -> None:
        """Replace the stored offset if it is still `old`, and drop the trail from there on."""
        taken_over_at = new.take_over and new.take_over.offset
        place = (topic, partition, old.topic_id, old.next_offset, new.topic_id, new.next_offset, taken_over_at)
        self._pool.run(sql.RESET_OFFSET, (*place, *_checkpoint_row(new.last_handled)), Deadline(CALL_SECONDS))

    def trail(self, topic: str, partition: int, below: int) -> list[Checkpoint]:
        """Return older checkpoints below an offset, newest first."""
        place = (topic, partition, below, self._identity_days)
        return [_checkpoint(row) for row in self._pool.run(sql.FIND_TRAIL, place, Deadline(CALL_SECONDS))]

    def keep_checkpoint(self, topic: str, partition: int) -> None:
        """Add the record before the stored offset to the trail, and thin the trail."""
        self._pool.run(sql.KEEP_CHECKPOINT, (topic, partition), Deadline(CALL_SECONDS))

    @contextmanager
    def transaction(self) -> Iterator["BatchTransaction"]:
        """Commit what the body writes at its end, or roll back when it raises; BATCH_SECONDS at the longest.

        Raises CommandFault if PostgreSQL refuses a value, which may be one command's own.
        """
        try:
            with self._pool.transaction(Deadline(BATCH_SECONDS)) as session:
                yield BatchTransaction(session)
        except ValuesRefused as error:
            raise CommandFault(error.cause) from error


class BatchTransaction:
    """The transaction of one batch."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._repeated: list[Received] = []

    def begin(self, batch: Batch, commands: Sequence[Received]) -> LockedBatch:
        """Move the stored offset, claim the commands, lock their orders. Raises OffsetMoved."""
        self.move_offset(batch)
        return self.lock(self.claim(commands))

    def move_offset(self, batch: Batch) -> None:
        """Move the stored offset over the batch. Raises OffsetMoved if it does not stand at the first record."""
        place = (batch.topic, batch.partition, batch.topic_id, batch.expected, batch.next_offset)
        last = Checkpoint.of(batch.records[-1]) if batch.records else None
        if not self._session.execute(sql.MOVE_OFFSET, (*place, *_checkpoint_row(last))):
            raise OffsetMoved

    def claim(self, commands: Sequence[Received]) -> list[Received]:
        """Return the commands that are seen for the first time: the same bytes again are the same command [K8].

        The others are noted as repeats by the next `write`.
        """
        first: dict[bytes, Received] = {}
        self._repeated = [
            received for received in commands if first.setdefault(identity(received[0]), received) is not received
        ]
        if not first:
            return []
        claimed = {bytes(row[0]) for row in self._session.execute(sql.CLAIM_COMMANDS, (sorted(first),))}
        self._repeated += [received for known_by, received in first.items() if known_by not in claimed]
        return [received for known_by, received in first.items() if known_by in claimed]

    def lock(self, commands: Sequence[Received]) -> LockedBatch:
        """Claim the sagas of the creates that can be carried out, and lock the orders that the commands name."""
        new_order_ids: dict[str, str] = {}
        wanted: set[str] = set()
        saga_ids: set[str] = set()
        for record, command in commands:
            if command.order_id:
                wanted.add(command.order_id)
            if command.saga_id is not None and COMMAND_TYPES[command.type].subject == "saga_id":
                saga_ids.add(command.saga_id)
                if isinstance(command.command, CreateOrder) and command.saga_id not in new_order_ids:
                    new_order_ids[command.saga_id] = saga_order_id(command.saga_id, record.timestamp)
        if new_order_ids:
            rows = self._session.execute(sql.CLAIM_SAGAS, (list(new_order_ids), list(new_order_ids.values())))
            saga_ids -= {row[0] for row in rows}
        sagas = dict(self._session.execute(sql.FIND_SAGAS, (list(saga_ids),))) if saga_ids else {}
        wanted.update(sagas.values())
        found = map(to_state, self._session.execute(LOCK_ORDERS, (sorted(wanted),)) if wanted else ())
        return LockedBatch(commands, {order.order_id: order for order in found}, sagas, new_order_ids)

    def write(self, batch: Batch, effects: BatchEffects) -> None:
        """Write the effects. Raises ServiceTrouble if an order is not as it was locked."""
        updated = [[*to_row(order), guard] for _, (order, guard) in sorted(effects.updated.items())]
        self._write(sql.INSERT_ORDERS, [to_row(order) for order in effects.created.values()])
        self._write(sql.UPDATE_ORDERS, updated)
        self._write(sql.INSERT_CHANGES, [_history(batch, *change) for change in effects.changes])
        self._write(sql.INSERT_EVENTS, list(map(_event_row, effects.replies)))
        self._write(sql.INSERT_DEAD_LETTERS, [_dead_letter(batch, *letter) for letter in effects.dead_letters])
        for record, command, reason in effects.given_up:
            row = (*_place(batch, record), command.type, command.correlation_id, reason)
            self._session.execute(sql.INSERT_GIVEN_UP, row)
        if effects.unfulfilled or self._repeated:
            # Last, so that whoever waits for these rows waits for nothing that waits for its own.
            facts = fact_rows(batch.partition, effects.unfulfilled, self._repeated)
            self._session.execute(WRITE_FACTS, as_columns(facts))

    def undo(self) -> None:
        """Check what would be checked at the commit, and roll back."""
        with self._session.connection.cursor() as cursor:
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        self._session.roll_back()

    def _write(self, statement: Statement, rows: Sequence[Sequence[Any]]) -> None:
        if rows:
            written = self._session.execute(statement, as_columns(rows))
            if len(written) != len(rows):
                raise ServiceTrouble(f"{statement.name} wrote {len(written)} rows instead of {len(rows)}")


def stored_offset(topic_id: uuid.UUID, next_offset: int, *row: Any) -> StoredOffset:
    """Return a row of `consumer_offsets`. Where an older version moved the offset, the record before it is unknown."""
    *last, floor_offset, floor_at = row
    last_handled = _checkpoint(last) if last[0] == next_offset - 1 and last[2] is not None else None
    return StoredOffset(topic_id, next_offset, last_handled, floor_at and TakeOver(floor_offset, floor_at))


def _checkpoint(row: Sequence[Any]) -> Checkpoint:
    offset, timestamp, digest, epoch = row
    return Checkpoint(offset, timestamp, bytes(digest), NO_EPOCH if epoch is None else epoch)


def _checkpoint_row(known: Checkpoint | None) -> tuple[int | None, int | None, bytes | None, int | None]:
    if known is None or known.digest is None:
        return None, None, None, None
    return known.offset, known.timestamp, known.digest, known.leader_epoch


def _history(
    batch: Batch, change: Change, change_id: uuid.UUID, record: Record, command: ReceivedCommand
) -> Sequence[Any]:
    order = change.order
    values = {
        "order_id": order.order_id,
        "version": order.version,
        "change_id": change_id,
        "kind": change.kind,
        "from_status": change.before.order_status if change.before else None,
        "to_status": order.order_status,
        "payment_status": order.payment_status,
        "runner_id": change.runner_id,
        "door": "kafka",
        "correlation_id": command.correlation_id,
        "source_topic": batch.topic,
        "source_partition": batch.partition,
        "source_offset": record.offset,
        "traceparent": command.traceparent,
    }
    row: tuple[Any, ...] = _change_row(values)
    return row


def _place(batch: Batch, record: Record) -> tuple[Any, ...]:
    """Return the first columns of a record that is kept: its event id, place, key and value."""
    event_id = reply_id(batch.topic_id, batch.partition, record.offset, record.timestamp)
    return event_id, batch.topic, batch.partition, record.offset, record.key, record.value


def _dead_letter(batch: Batch, record: Record, error: str) -> Sequence[Any]:
    whole = (record.length, record.sha256) if isinstance(record, UnreadRecord) else (None, None)
    return *_place(batch, record), error, *whole
