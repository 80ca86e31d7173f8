"""A batch of commands as one transaction: offset, identities, orders, history, replies, dead letters, or nothing.

The way: move the stored offset (which locks it), claim what is new, lock the orders in the order of their ids, decide
one command after the other in memory, write with one statement a table. An order that several commands change is
written once, in its last state and guarded on its first version; its history and replies are one a command.

What goes wrong is ours unless it is proved to be a command's: deciding it failed, or PostgreSQL refused its values.
"""

import hashlib
import logging
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from app.database import batches_sql as sql
from app.database.pool import Pool, Session
from app.database.rows import to_row, to_state
from app.database.statements import LOCK_ORDERS
from app.models import rules
from app.models.commands import CreateOrder
from app.models.errors import CommandFault, DatabaseTrouble, OffsetMoved, ServiceTrouble, ValuesRefused
from app.models.order import OrderState
from app.models.records import Batch, Checkpoint, ReceivedCommand, Record, UnreadRecord
from app.models.rules import Change, Decision, Refusal, Unchanged
from app.services.order_service import Clock, utc_now
from app.services.rehearsal import A_CREATE, an_update
from app.utils.deadline import Deadline
from app.utils.ids import reply_id, saga_order_id
from app.utils.limits import BATCH_SECONDS
from app.utils.logging import correlation_id
from app.utils.metrics import COMMANDS, DEAD_LETTERS
from app.wire.command_reader import DeadLetter, parse_record
from app.wire.command_types import COMMAND_TYPES
from app.wire.replies import Reply, reply

log = logging.getLogger(__name__)

BUG = Refusal("internal_error", "The service cannot handle this command; it has been logged")


@dataclass(slots=True)
class _Work:
    """What a batch will write."""

    orders: dict[str, OrderState] = field(default_factory=dict)
    sagas: dict[str, str] = field(default_factory=dict)
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

    def handle(self, batch: Batch, *, give_up: str | None = None) -> int:
        """Commit the effects of the batch and return the number of its dead letters.

        `give_up`: why its one command cannot be handled; it is answered with BUG, and its bytes are kept. Raises
        OffsetMoved, CommandFault and DatabaseTrouble, and then nothing was moved.
        """
        with _blame():
            parsed = [(record, self._read(record)) for record in batch.records]
            letters = [(record, letter) for record, letter in parsed if isinstance(letter, DeadLetter)]
            commands = [(record, received) for record, received in parsed if isinstance(received, ReceivedCommand)]
            with self._pool.transaction(Deadline(BATCH_SECONDS)) as session:
                self._move_offset(session, batch)
                work = _Work()
                if give_up is None:
                    work = self._decide_all(session, batch, _claim(session, commands))
                else:
                    self._give_up(session, batch, work, commands, give_up)
                _write(session, batch, work, letters)
        _count(work.outcomes, len(letters))
        return len(letters)

    def rehearse(self) -> None:
        """Do all that a create and an update do, and roll it back. Raises DatabaseTrouble where that fails: it is not
        one command's fault then."""
        try:
            with _blame(), self._pool.transaction(Deadline(BATCH_SECONDS)) as session:
                for record in (A_CREATE, an_update(_create_id(A_CREATE, A_CREATE.saga_id))):
                    batch = Batch("rehearsal", uuid.UUID(int=0), 0, 0, 1, [record])
                    received = self._read(record)
                    assert isinstance(received, ReceivedCommand)
                    _write(session, batch, self._decide_all(session, batch, _claim(session, [(record, received)])), ())
                with session.connection.cursor() as cursor:
                    cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
                session.connection.rollback()
        except CommandFault as fault:
            raise ServiceTrouble(f"A sample of a command cannot be handled either: {fault}") from fault

    def _read(self, record: Record) -> ReceivedCommand | DeadLetter:
        if isinstance(record, UnreadRecord):
            return DeadLetter(record.error)
        with _deciding(record):
            return parse_record(record.value)

    def _give_up(
        self,
        session: Session,
        batch: Batch,
        work: "_Work",
        commands: Sequence[tuple[Record, ReceivedCommand]],
        reason: str,
    ) -> None:
        for record, received in _claim(session, commands):
            _note(work, batch, record, received, BUG, self._clock())
            event_id = reply_id(batch.topic_id, batch.partition, record.offset, record.timestamp)
            place = (event_id, batch.topic, batch.partition, record.offset, record.key, record.value)
            session.execute(sql.INSERT_GIVEN_UP, (*place, received.type, received.correlation_id, reason))

    def _move_offset(self, session: Session, batch: Batch) -> None:
        place = (batch.topic, batch.partition, batch.topic_id, batch.expected, batch.next_offset)
        last = Checkpoint.of(batch.records[-1]) if batch.records else None
        if not session.execute(sql.MOVE_OFFSET, (*place, *as_row(last))):
            raise OffsetMoved

    def _decide_all(self, session: Session, batch: Batch, fresh: Sequence[tuple[Record, ReceivedCommand]]) -> _Work:
        work = _Work(sagas=_sagas(session, fresh))
        wanted = {received.order_id for _, received in fresh if received.order_id} | set(work.sagas.values())
        rows = session.execute(LOCK_ORDERS, (sorted(wanted),)) if wanted else []
        work.orders = {order.order_id: order for order in map(to_state, rows)}
        for record, received in fresh:
            correlation_id.set(received.correlation_id)
            with _deciding(record):
                _note(work, batch, record, received, self._decide(work, record, received), self._clock())
        correlation_id.set(None)
        return work

    def _decide(self, work: _Work, record: Record, received: ReceivedCommand) -> Decision:
        command = received.command
        if COMMAND_TYPES[received.type].subject == "saga_id" and received.saga_id in work.sagas:
            made = work.orders.get(work.sagas[received.saga_id])
            if made is not None:
                return Unchanged(made)
        if isinstance(command, Refusal):
            return command
        if isinstance(command, CreateOrder):
            return rules.create(command, _create_id(record, command.saga_id), self._clock())
        return rules.decide(work.orders.get(command.order_id), command, self._clock())


@contextmanager
def _deciding(record: Record) -> Iterator[None]:
    """Raise CommandFault where the body fails: it decides about one record, and touches nothing else."""
    try:
        yield
    except MemoryError:
        raise
    except Exception as error:
        log.exception("command at offset %s cannot be decided", record.offset)
        raise CommandFault(f"{type(error).__name__} while the command at offset {record.offset} was decided") from error


@contextmanager
def _blame() -> Iterator[None]:
    """Make whatever the body raises a CommandFault or, by default, a ServiceTrouble."""
    try:
        yield
    except (OffsetMoved, CommandFault, DatabaseTrouble):
        raise
    except ValuesRefused as error:
        raise CommandFault(error.cause) from error
    except Exception as error:
        log.exception("commands cannot be handled")
        raise ServiceTrouble(f"The service fails: {type(error).__name__}") from error


def _create_id(record: Record, saga_id: str | None) -> str:
    assert saga_id is not None
    return saga_order_id(saga_id, record.timestamp)


def _claim(session: Session, parsed: Sequence[tuple[Record, ReceivedCommand]]) -> list[tuple[Record, ReceivedCommand]]:
    """Return the commands seen for the first time; the same bytes again are the same command [K8]."""
    first: dict[bytes, tuple[Record, ReceivedCommand]] = {}
    for record, received in parsed:
        first.setdefault(hashlib.sha256(record.value or b"").digest(), (record, received))
    if not first:
        return []
    claimed = {bytes(row[0]) for row in session.execute(sql.CLAIM_COMMANDS, (sorted(first),))}
    COMMANDS.labels("any", "repeated").inc(len(parsed) - len(claimed))
    return [command for identity, command in first.items() if identity in claimed]


def _sagas(session: Session, fresh: Sequence[tuple[Record, ReceivedCommand]]) -> dict[str, str]:
    """Claim the saga ids of the usable creates; return saga id → order id of those that had an order before."""
    creates = [
        (record, it) for record, it in fresh if COMMAND_TYPES[it.type].subject == "saga_id" and it.saga_id is not None
    ]
    ours: dict[str, str] = {}
    for record, received in creates:
        if isinstance(received.command, CreateOrder) and received.saga_id is not None:
            ours.setdefault(received.saga_id, _create_id(record, received.saga_id))
    claimed: set[str] = set()
    if ours:
        claimed = {row[0] for row in session.execute(sql.CLAIM_SAGAS, (list(ours), list(ours.values())))}
    rest = {received.saga_id for _, received in creates} - claimed
    return dict(session.execute(sql.FIND_SAGAS, (list(rest),))) if rest else {}


def _note(
    work: _Work, batch: Batch, record: Record, received: ReceivedCommand, decision: Decision, now: datetime
) -> None:
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
        work.changes.append(_history(decision, event_id, received, place))
    work.replies.append(reply(received, decision, event_id, now))
    work.outcomes.append((received.type, outcome))
    log.debug("command %s at %s/%s: %s", received.type, batch.partition, record.offset, outcome)


def _history(
    change: Change, change_id: uuid.UUID, received: ReceivedCommand, place: tuple[str, int, int]
) -> tuple[Any, ...]:
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
        "correlation_id": received.correlation_id,
        "source_topic": place[0],
        "source_partition": place[1],
        "source_offset": place[2],
    }
    return tuple(values[column] for column in sql.CHANGE_COLUMNS)


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
            *((record.length, record.sha256) if isinstance(record, UnreadRecord) else (None, None)),
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
                raise ServiceTrouble(f"{statement.name} wrote {len(written)} rows instead of {len(rows)}")


def as_row(known: Checkpoint | None) -> tuple[int | None, int | None, bytes | None, int | None]:
    """Return the columns that a checkpoint has in PostgreSQL."""
    if known is None or known.digest is None:
        return None, None, None, None
    return known.offset, known.timestamp, known.digest, known.leader_epoch


def _count(outcomes: Iterable[tuple[str, str]], dead_letters: int) -> None:
    for (command_type, outcome), count in Counter(outcomes).items():
        COMMANDS.labels(command_type, outcome).inc(count)
    DEAD_LETTERS.inc(dead_letters)
