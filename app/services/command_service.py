"""The use case of the Kafka door: a batch of commands as one transaction, with all of its effects or none.

The way: parse the records, begin (database/batches: the stored offset, identities, locks), decide one command after
the other in memory, write. What goes wrong is the service's fault unless it is proved to be one command's: deciding it
failed, or PostgreSQL refused its values.
"""

import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

from app.database.batches import BatchEffects, BatchStore, LockedBatch, Received
from app.models import rules
from app.models.commands import CreateOrder
from app.models.errors import CommandFault, DatabaseTrouble, OffsetMoved, ServiceTrouble
from app.models.order import OrderState
from app.models.records import NO_ID, Batch, ReceivedCommand, Record, UnreadRecord
from app.models.rules import Change, Decision, Refusal, Unchanged
from app.services.command_spans import spans_of
from app.services.counted import count_change, count_refusal, count_repeat
from app.services.order_service import Clock, utc_now
from app.services.rehearsal import A_CREATE, an_update
from app.utils.ids import reply_id, saga_order_id
from app.utils.logging import about, keeping_ids
from app.utils.metrics import COMMANDS, DEAD_LETTERS
from app.wire.command_reader import DeadLetter, parse_record
from app.wire.command_types import COMMAND_TYPES
from app.wire.replies import Reply, reply
from app.wire.traces import traceparent_of

log = logging.getLogger(__name__)

UNCHANGED = "unchanged"
BUG = Refusal("internal_error", "The service cannot handle this command; it has been logged")


@dataclass(frozen=True, slots=True)
class Tried:
    """What a record would do. `error`: why it would be a dead letter; then the rest is None.

    A command without a `reply` is the repeat of one that was handled. `change`: what it would change, None for nothing.
    """

    error: str | None
    command: ReceivedCommand | None = None
    reply: Reply | None = None
    change: Change | None = None


class CommandService:
    """Handles batches. Each call is one transaction, blocks for BATCH_SECONDS at the longest, and raises
    DatabaseTrouble."""

    def __init__(self, store: BatchStore, clock: Clock = utc_now) -> None:
        self._store = store
        self._clock = clock

    def handle(self, batch: Batch, *, give_up: str | None = None) -> int:
        """Commit the effects of the batch and return the number of its dead letters.

        `give_up`: why its one command cannot be handled; it is answered with BUG, and its bytes are kept. Raises
        OffsetMoved and CommandFault too; nothing is moved where it raises.
        """
        with _as_service_trouble():
            commands, letters = _parse(batch)
            with spans_of(batch, commands, letters) as spans, self._store.transaction() as transaction:
                if give_up is None:
                    locked = transaction.begin(batch, spans.commands)
                    spans.note("locked")
                    effects = decide_all(batch, locked, self._clock)
                else:
                    transaction.move_offset(batch)
                    effects = refuse_all(batch, transaction.claim(spans.commands), give_up, self._clock)
                effects.dead_letters = letters
                spans.decided(effects)
                transaction.write(batch, effects)
                spans.note("written")
        _count(effects, len(commands))
        return len(letters)

    def try_out(self, records: Sequence[Record]) -> list[Tried]:
        """Return what the records would do now, one after the other, and undo it. Each has an offset of its own.

        They need not be of one partition. Raises CommandFault too.
        """
        batch = Batch("judged", NO_ID, 0, 0, 0, records)
        with _as_service_trouble(), keeping_ids():
            commands, letters = _parse(batch)
            with self._store.transaction() as transaction:
                locked = transaction.lock(transaction.claim(commands))
                effects = decide_all(batch, locked, self._clock)
                transaction.write(batch, effects)
                transaction.undo()
        errors = {record.offset: error for record, error in letters}
        received = {record.offset: command for record, command in commands}
        replies = {record.offset: sent for (record, _), sent in zip(locked.commands, effects.replies, strict=True)}
        changes = {record.offset: change for change, _, record, _ in effects.changes}
        places = [record.offset for record in records]
        return [Tried(errors.get(at), received.get(at), replies.get(at), changes.get(at)) for at in places]

    def rehearse(self) -> None:
        """Do all that a create, an update and their repeats do, and roll it back. Raises DatabaseTrouble where even
        that fails: no command is at fault then."""
        try:
            with _as_service_trouble(), self._store.transaction() as transaction:
                for sample in (A_CREATE, an_update(saga_order_id(A_CREATE.saga_id, A_CREATE.timestamp))):
                    batch = Batch("rehearsal", NO_ID, 0, 0, 1, [sample, sample])
                    commands, letters = _parse(batch)
                    assert not letters
                    locked = transaction.lock(transaction.claim(commands))
                    transaction.write(batch, decide_all(batch, locked, self._clock))
                transaction.undo()
        except CommandFault as fault:
            raise ServiceTrouble(f"A sample of a command cannot be handled either: {fault}") from fault


def decide_all(batch: Batch, locked: LockedBatch, clock: Clock) -> BatchEffects:
    """Return what the commands do, one after the other, each to the order as those before it left it.

    No database in here. Raises CommandFault where one of them cannot be decided.
    """
    effects, orders, sagas = BatchEffects(), dict(locked.orders), dict(locked.sagas)
    for record, command in locked.commands:
        about(command.correlation_id, command.traceparent)
        now = clock()
        try:
            decision = _decide(command, orders, sagas, locked.new_order_ids, now)
            _add(effects, batch, record, command, decision, now)
        except MemoryError:
            raise
        except Exception as error:
            raise _fault_of(record, error) from error
        if isinstance(decision, Change):
            orders[decision.order.order_id] = decision.order
            if decision.before is None:
                sagas[decision.order.saga_id or ""] = decision.order.order_id
    about(None)
    return effects


def refuse_all(batch: Batch, commands: Sequence[Received], reason: str, clock: Clock) -> BatchEffects:
    """Return what answers the commands with BUG and keeps their bytes."""
    effects = BatchEffects()
    for record, command in commands:
        _add(effects, batch, record, command, BUG, clock())
        effects.given_up.append((record, command, reason))
    return effects


def _parse(batch: Batch) -> tuple[list[Received], list[tuple[Record, str]]]:
    """Return the commands, and the dead letters with the reason. Raises CommandFault."""
    commands: list[Received] = []
    letters: list[tuple[Record, str]] = []
    for record in batch.records:
        if isinstance(record, UnreadRecord):
            letters.append((record, record.error))
            continue
        try:
            found = parse_record(record.value, traceparent_of(record.headers))
        except MemoryError:
            raise
        except Exception as error:
            raise _fault_of(record, error) from error
        if isinstance(found, DeadLetter):
            letters.append((record, found.error))
        else:
            commands.append((record, found))
    return commands, letters


def _decide(
    received: ReceivedCommand,
    orders: Mapping[str, OrderState],
    sagas: Mapping[str, str],
    new_order_ids: Mapping[str, str],
    now: datetime,
) -> Decision:
    command, saga_id = received.command, received.saga_id
    if saga_id is not None and saga_id in sagas and COMMAND_TYPES[received.type].subject == "saga_id":
        made = orders.get(sagas[saga_id])
        if made is not None:
            return Unchanged(made)
    if isinstance(command, Refusal):
        return command
    if isinstance(command, CreateOrder):
        return rules.create(command, new_order_ids[command.saga_id or ""], now)
    return rules.decide(orders.get(command.order_id), command, now)


def _add(
    effects: BatchEffects, batch: Batch, record: Record, command: ReceivedCommand, decision: Decision, now: datetime
) -> None:
    """Add what the decision writes: its reply, and where the order changes, the order and a history line."""
    event_id = reply_id(batch.topic_id, batch.partition, record.offset, record.timestamp)
    if isinstance(decision, Refusal):
        outcome = "refused"
        effects.unfulfilled.append((record, command, command.order_id, decision.code))
    elif isinstance(decision, Unchanged):
        outcome = UNCHANGED
        effects.unfulfilled.append((record, command, decision.order.order_id, outcome))
    else:
        outcome = "done"
        order, before = decision.order, decision.before
        if before is None or order.order_id in effects.created:
            effects.created[order.order_id] = order
        else:
            guard = effects.updated[order.order_id][1] if order.order_id in effects.updated else before.version
            effects.updated[order.order_id] = order, guard
        effects.changes.append((decision, event_id, record, command))
    effects.replies.append(reply(command, decision, event_id, now))
    effects.outcomes.append((command.type, outcome))
    log.debug("command %s at %s/%s: %s", command.type, batch.partition, record.offset, outcome)


@contextmanager
def _as_service_trouble() -> Iterator[None]:
    """Raise ServiceTrouble for whatever the body raises, unless its class already says whose fault it is."""
    try:
        yield
    except (OffsetMoved, CommandFault, DatabaseTrouble):
        raise
    except Exception as error:
        log.exception("commands cannot be handled")
        raise ServiceTrouble(f"The service fails: {type(error).__name__}") from error


def _fault_of(record: Record, error: Exception) -> CommandFault:
    log.error("command at offset %s cannot be decided", record.offset, exc_info=error)
    return CommandFault(f"{type(error).__name__} while the command at offset {record.offset} was decided")


def _count(effects: BatchEffects, commands: int) -> None:
    for (command_type, outcome), count in Counter(effects.outcomes).items():
        COMMANDS.labels(command_type, outcome).inc(count)
    repeated = commands - len(effects.outcomes)
    COMMANDS.labels("any", "repeated").inc(repeated)
    count_repeat("kafka", repeated)
    for move, count in Counter(change.kind for change, *_ in effects.changes).items():
        count_change(move, "kafka", count)
    refused = Counter(outcome for *_, outcome in effects.unfulfilled if outcome != UNCHANGED)
    for code, count in refused.items():
        count_refusal(code, "kafka", count)
    DEAD_LETTERS.inc(len(effects.dead_letters))
