"""A batch of commands as one transaction: offset, identities, orders, history, replies, dead letters, or nothing.

The way: move the stored offset (which locks it), claim what is new, lock the orders in the order of their ids, decide
one command after the other in memory, write with one statement a table. An order that several commands change is
written once, in its last state and guarded on its first version; its history and replies are one a command.
"""

import hashlib
import logging
import uuid
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from app.models import rules
from app.models import statements as sql
from app.models.commands import CreateOrder
from app.models.database import Pool, Session
from app.models.order import OrderState
from app.models.rows import to_row, to_state
from app.models.rules import Change, Decision, Refusal, Unchanged
from app.services.command_reader import DeadLetter, Reading, read
from app.services.metrics import COMMANDS, DEAD_LETTERS
from app.services.order_service import Clock, utc_now
from app.services.replies import Reply, reply
from app.utils.deadline import Deadline
from app.utils.ids import reply_id, saga_order_id
from app.utils.logging import correlation_id

log = logging.getLogger(__name__)

BATCH_SECONDS = 15.0
BUG = Refusal("internal_error", "The service cannot handle this command; it has been logged")


class Record(Protocol):
    """What is used of a Kafka record. `timestamp` in milliseconds since 1970."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None


class OffsetMoved(Exception):
    """The stored offset is not where the batch begins: somebody else handled these records."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Records of one partition, without gaps that hold commands: from `expected` up to before `next_offset`."""

    topic: str
    topic_id: uuid.UUID
    partition: int
    expected: int
    next_offset: int
    records: Sequence[Record]


@dataclass(slots=True)
class _Work:
    """What a batch will write."""

    orders: dict[str, OrderState]
    sagas: dict[str, str]
    first_versions: dict[str, int] = field(default_factory=dict)
    created: dict[str, None] = field(default_factory=dict)
    changes: list[tuple[Any, ...]] = field(default_factory=list)
    replies: list[Reply] = field(default_factory=list)
    outcomes: list[tuple[str, str]] = field(default_factory=list)


class CommandBatches:
    """Handles batches. Each call is one transaction and blocks for BATCH_SECONDS at the longest."""

    def __init__(self, pool: Pool, clock: Clock = utc_now) -> None:
        self._pool = pool
        self._clock = clock

    def handle(self, batch: Batch, *, give_up: bool = False) -> int:
        """Commit the effects of the batch and return the number of its dead letters.

        `give_up`: answer every command with BUG; for one that cannot be handled. Raises OffsetMoved,
        DatabaseTrouble (nothing is moved), and whatever a bug raises.
        """
        readings = [(record, read(record.value)) for record in batch.records]
        if give_up:
            readings = [(record, _given_up(reading)) for record, reading in readings]
        with self._pool.transaction(Deadline(BATCH_SECONDS)) as session:
            self._move_offset(session, batch)
            letters = [(record, letter) for record, letter in readings if isinstance(letter, DeadLetter)]
            fresh = _claim(session, [(record, it) for record, it in readings if isinstance(it, Reading)])
            work = self._decide_all(session, batch, fresh)
            _write(session, batch, work, letters)
        _count(work.outcomes, len(letters))
        return len(letters)

    def _move_offset(self, session: Session, batch: Batch) -> None:
        place = (batch.topic, batch.partition, batch.topic_id, batch.expected, batch.next_offset)
        if not session.execute(sql.MOVE_OFFSET, place):
            raise OffsetMoved

    def _decide_all(self, session: Session, batch: Batch, fresh: Sequence[tuple[Record, Reading]]) -> _Work:
        work = _Work(orders={}, sagas=_sagas(session, fresh))
        wanted = {reading.order_id for _, reading in fresh if reading.order_id} | set(work.sagas.values())
        rows = session.execute(sql.LOCK_ORDERS, (sorted(wanted),)) if wanted else []
        work.orders = {order.order_id: order for order in map(to_state, rows)}
        for record, reading in fresh:
            correlation_id.set(reading.correlation_id)
            decision = self._decide(work, record, reading)
            _note(work, batch, record, reading, decision, self._clock())
        correlation_id.set(None)
        return work

    def _decide(self, work: _Work, record: Record, reading: Reading) -> Decision:
        command = reading.command
        if reading.type == "create_order" and reading.saga_id in work.sagas:
            made = work.orders.get(work.sagas[reading.saga_id])
            if made is not None:
                return Unchanged(made)
        if isinstance(command, Refusal):
            return command
        if isinstance(command, CreateOrder):
            return rules.create(command, _create_id(record, command), self._clock())
        return rules.decide(work.orders.get(command.order_id), command, self._clock())


def _given_up(reading: Reading | DeadLetter) -> Reading | DeadLetter:
    if isinstance(reading, DeadLetter):
        return reading
    return Reading(reading.type, reading.correlation_id, BUG, reading.order_id, reading.saga_id)


def _create_id(record: Record, command: CreateOrder) -> str:
    assert command.saga_id is not None
    return saga_order_id(command.saga_id, record.timestamp)


def _claim(session: Session, readings: Sequence[tuple[Record, Reading]]) -> list[tuple[Record, Reading]]:
    """Return the commands seen for the first time; the same bytes again are the same command [K8]."""
    first: dict[bytes, tuple[Record, Reading]] = {}
    for record, reading in readings:
        first.setdefault(hashlib.sha256(record.value or b"").digest(), (record, reading))
    if not first:
        return []
    claimed = {bytes(row[0]) for row in session.execute(sql.CLAIM_COMMANDS, (sorted(first),))}
    COMMANDS.labels("any", "repeated").inc(len(readings) - len(claimed))
    return [command for identity, command in first.items() if identity in claimed]


def _sagas(session: Session, fresh: Sequence[tuple[Record, Reading]]) -> dict[str, str]:
    """Claim the saga ids of the usable creates; return saga id → order id of those that had an order before."""
    creates = [(record, it) for record, it in fresh if it.type == "create_order" and it.saga_id is not None]
    ours: dict[str, str] = {}
    for record, reading in creates:
        if isinstance(reading.command, CreateOrder) and reading.saga_id is not None:
            ours.setdefault(reading.saga_id, _create_id(record, reading.command))
    claimed: set[str] = set()
    if ours:
        claimed = {row[0] for row in session.execute(sql.CLAIM_SAGAS, (list(ours), list(ours.values())))}
    rest = {reading.saga_id for _, reading in creates} - claimed
    return dict(session.execute(sql.FIND_SAGAS, (list(rest),))) if rest else {}


def _note(work: _Work, batch: Batch, record: Record, reading: Reading, decision: Decision, now: datetime) -> None:
    event_id = reply_id(batch.topic_id, batch.partition, record.offset, record.timestamp)
    outcome = "refused" if isinstance(decision, Refusal) else "unchanged"
    if isinstance(decision, Change):
        outcome = "done"
        order, before = decision.order, decision.before
        work.orders[order.order_id] = order
        if before is None:
            work.created[order.order_id] = None
            work.sagas[order.saga_id or ""] = order.order_id
        elif order.order_id not in work.created:
            work.first_versions.setdefault(order.order_id, before.version)
        place = (batch.topic, batch.partition, record.offset)
        work.changes.append(_history(decision, event_id, reading, place))
    work.replies.append(reply(reading, decision, event_id, now))
    work.outcomes.append((reading.type, outcome))
    log.debug("command %s at %s/%s: %s", reading.type, batch.partition, record.offset, outcome)


def _history(change: Change, change_id: uuid.UUID, reading: Reading, place: tuple[str, int, int]) -> tuple[Any, ...]:
    values: dict[str, Any] = {
        "order_id": change.order.order_id,
        "version": change.order.version,
        "change_id": change_id,
        "kind": change.kind.value,
        "from_status": change.before.order_status.value if change.before else None,
        "to_status": change.order.order_status.value,
        "payment_status": change.order.payment_status.value,
        "runner_id": change.runner_id,
        "door": "kafka",
        "correlation_id": reading.correlation_id,
        "source_topic": place[0],
        "source_partition": place[1],
        "source_offset": place[2],
    }
    return tuple(values[column] for column in sql.CHANGE)


def _write(session: Session, batch: Batch, work: _Work, letters: Sequence[tuple[Record, DeadLetter]]) -> None:
    created = [to_row(work.orders[order_id]) for order_id in work.created]
    updated = [[*to_row(work.orders[order_id]), guard] for order_id, guard in sorted(work.first_versions.items())]
    events = [(it.event_id, it.key, it.type, it.correlation_id, it.version, it.payload) for it in work.replies]
    dead = [
        (
            reply_id(batch.topic_id, batch.partition, record.offset, record.timestamp),
            batch.topic,
            batch.partition,
            record.offset,
            record.key,
            record.value,
            letter.error,
        )
        for record, letter in letters
    ]
    for statement, rows in (
        (sql.INSERT_ORDERS, created),
        (sql.UPDATE_ORDERS, updated),
        (sql.INSERT_CHANGES, work.changes),
        (sql.INSERT_EVENTS, events),
        (sql.INSERT_DEAD_LETTERS, dead),
    ):
        if rows:
            written = session.execute(statement, [list(column) for column in zip(*rows, strict=True)])
            if len(written) != len(rows):
                raise RuntimeError(f"{statement.name} wrote {len(written)} rows instead of {len(rows)}")


def _count(outcomes: Iterable[tuple[str, str]], dead_letters: int) -> None:
    for (command_type, outcome), count in Counter(outcomes).items():
        COMMANDS.labels(command_type, outcome).inc(count)
    DEAD_LETTERS.inc(dead_letters)
