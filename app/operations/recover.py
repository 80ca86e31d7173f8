"""After PostgreSQL was restored to a point in time: what came later is done again, as Kafka tells it.

The events topic has each change over HTTP with the whole order after it, and the log of commands has each command. The
restored tables tell where both stood then. A change over HTTP is written as its event has it, with its version and
event id. A command is handled by the service's own use case, at the time that its reply has. Nothing is announced
twice: all of these event ids are on the topic, where the next leader of the relay reads them back.

Kafka does not have everything: requests that changed nothing, answers under keys, orders of testCreateOrder, API keys,
what operators decided. docs/deploying.md has the list.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from uuid import UUID

from app.config.config import Settings
from app.database.answers import AnswerStore
from app.database.batches import BatchStore
from app.database.lanes import EVENTS
from app.database.one_transaction import OneTransaction
from app.database.orders import OrderStore
from app.database.pool import Transactions
from app.models.errors import CommandFault, DatabaseError, OffsetMoved, ValuesRefused
from app.models.operator_errors import DatabaseUnusable, NotPossible
from app.models.records import Batch, StoredOffset, after
from app.models.rules import Change
from app.models.writes import NO_EVENT, ChangeSource, HttpAnswer, OrderWrite, Outcome
from app.operations import instances, lanes
from app.operations.audit import Operator
from app.operations.recovery_logs import (
    commands_since,
    events_since,
    identities,
    not_back,
    read_dead_letters_back,
    unknown,
)
from app.operations.recovery_order import Handled, Step, steps
from app.operations.transaction import transaction
from app.services.command_service import CommandService
from app.utils.deadline import Deadline
from app.wire.announced import Announced, change_of, time_of

SILENT_SECONDS = 10.0  # a process that has said nothing for so long has ended
STEP_SECONDS = 10.0
PORTION = 200
PORTION_SECONDS = 120
_NO_ANSWER = HttpAnswer(0, b"")


@dataclass(frozen=True, slots=True)
class NotBack:
    """What the events topic tells otherwise than the history. `version`: None where the topic has no change."""

    order_id: str
    version: int | None
    type: str
    event_id: UUID


@dataclass(frozen=True, slots=True)
class Recovered:
    """What was done again: `changes` over HTTP and by operators, `commands`. `events`: that came after the restored
    state. `deleted`: records of both topics that retention has deleted since. `not_back`: what is not as announced."""

    events: int
    changes: int
    commands: int
    deleted: int
    not_back: Sequence[NotBack]


def recover(operator: Operator) -> Recovered:
    """Do again what the topics tell of the time after the restored state. Commits PORTION steps at a time; again does
    no harm.

    Blocks for some milliseconds a record. Raises NotPossible while a process of the service runs, if the topics are not
    those of the restored state, or hold too many records since; DatabaseUnusable, KafkaUnusable.
    """
    settings = operator.settings
    _require_stopped(settings)
    with operator.change("recover", lanes.SECONDS) as change:
        lanes.take_lease(change.connection, EVENTS)  # a process that has just begun has not told of itself yet
        read_dead_letters_back(change.connection, settings)
        line = change.record(settings.events_topic, "begun")
    events, deleted = events_since(settings)
    commands = commands_since(settings, {event.event_id: event for event in events})
    new, begun = unknown(settings, events), datetime.now(UTC)
    known = identities(settings, commands)
    again, left_to_do = _Again(settings, commands.topic_id), steps(new, commands.logs, known)
    while portion := list(islice(left_to_do, PORTION)):
        with _portion(settings) as transactions:
            again.do(portion, transactions)
    left = [NotBack(it.key, it.version, it.type, it.event_id) for it in not_back(settings, events, begun)]
    operator.complete(line, f"{again.changes} changes, {again.commands} commands; {len(left)} are not as announced")
    return Recovered(len(new), again.changes, again.commands, deleted + commands.deleted, left)


class _Again:
    """Does one thing after the other. Raises DatabaseError, NotPossible."""

    def __init__(self, settings: Settings, topic_id: UUID) -> None:
        self._settings = settings
        self._topic_id = topic_id
        self.changes = 0
        self.commands = 0

    def do(self, portion: Sequence[Step], transactions: Transactions) -> None:
        """Do them. A change that does not follow the order's version, or cannot be read, is left out."""
        self._orders = OrderStore(transactions, AnswerStore(transactions))
        self._store = BatchStore(transactions, self._settings.command_identity_days)
        for step in portion:
            if isinstance(step, Handled):
                self.commands += self._handle(step)
            else:
                self.changes += self._write(step)

    def _write(self, event: Announced) -> bool:
        try:
            told = change_of(event)
        except ValueError:
            return False
        order, deadline = told.order, Deadline(STEP_SECONDS)
        before = self._orders.load(order.order_id, deadline)
        # The first event of an order of testCreateOrder has version 2.
        if order.version != (before.version + 1 if before else event.version) or (not before and order.version > 2):
            return False
        change = Change(told.kind, before, order, told.runner_id)
        source = ChangeSource("http", told.correlation_id)
        write = OrderWrite(change, event.event_id, source, NO_EVENT, None, _NO_ANSWER)
        try:
            return self._orders.commit(write, deadline) is Outcome.DONE
        except ValuesRefused:
            return False

    def _handle(self, command: Handled) -> bool:
        record, topic, partition = command.record, self._settings.commands_topic, command.partition
        if (stored := self._store.offset(topic, partition)) is None:  # a partition that came since
            stored = StoredOffset(self._topic_id, record.offset)
            self._store.store_first_offset(topic, partition, stored)
        if stored.next_offset > record.offset:
            return False
        at = _time_of(command)
        service = CommandService(self._store, lambda: at)
        batch = Batch(topic, stored.topic_id, partition, stored.next_offset, after(record), [record])
        try:
            service.handle(batch)
        except CommandFault as fault:
            service.rehearse()  # else no command is at fault
            service.handle(batch, give_up=str(fault))
        return True


def _time_of(command: Handled) -> datetime:
    """Return when the command was handled before, or produced, where its reply does not tell."""
    try:
        return time_of(command.reply) if command.reply else _produced(command)
    except ValueError:
        return _produced(command)


def _produced(command: Handled) -> datetime:
    return datetime.fromtimestamp(command.record.timestamp / 1000, UTC)


@contextmanager
def _portion(settings: Settings) -> Iterator[Transactions]:
    """Lend a transaction. Raises DatabaseUnusable, and NotPossible if somebody else handles commands."""
    try:
        with transaction(settings, PORTION_SECONDS) as connection:
            yield OneTransaction(connection)
    except OffsetMoved:
        raise NotPossible("A process of the service handles commands: stop it and run this again.") from None
    except DatabaseError as error:
        raise DatabaseUnusable(f"{error.reason}. What was done stays done: run the command again.") from None


def _require_stopped(settings: Settings) -> None:
    running = [it for it in instances.find(settings) if it.silent < SILENT_SECONDS]
    if running:
        named = ", ".join(f"{it.pid} on {it.host}" for it in running[:3])
        raise NotPossible(f"Processes of the service run, such as {named}: stop all of them first.")
