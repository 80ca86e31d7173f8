"""A request or commands in an operator's transaction: the service's own code, and what it has written there."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, text

from app.config.config import Settings
from app.database.answers import AnswerStore
from app.database.batches import BatchStore
from app.database.one_transaction import OneTransaction
from app.database.orders import OrderStore
from app.database.orders_sql import LOAD_ORDERS, LOCK_ORDERS
from app.database.pages import PageStore
from app.database.refused_accepts import RefusedAccepts
from app.database.rows import to_state
from app.database.statement import Statement
from app.models.commands import Command
from app.models.errors import DatabaseError, OutcomeUnknown
from app.models.operator_errors import DatabaseUnusable, NotFound
from app.models.order import OrderState
from app.models.records import Headers
from app.models.writes import ChangeSource, HttpAnswer, OrderWrite, Outcome
from app.operations.transaction import transaction
from app.services.command_service import CommandService, Tried
from app.services.order_service import OrderService, RequestContext
from app.utils.deadline import Deadline
from app.wire.answers import AnswerForm
from app.wire.fields import is_id

SECONDS = 3
"""How long an attempt may take. An order that somebody else holds is waited for 0.3 s."""

_LIMITS = text("SET LOCAL lock_timeout = '300ms'; SET LOCAL idle_in_transaction_session_timeout = '2s'")
_LOCKED = "55P03"
LOST = "The database connection was lost, or a statement took too long"


@dataclass(frozen=True, slots=True)
class Difference:
    """A member of the order JSON that a change has changed."""

    field: str
    before: Any
    after: Any


@dataclass(frozen=True, slots=True)
class Attempt:
    """What a request did. `write` is None where it changed nothing: the answer tells why."""

    answer: HttpAnswer
    write: OrderWrite | None


@dataclass(frozen=True, slots=True)
class Record:
    """A record that is on no topic. `offset` tells it from its neighbours."""

    offset: int
    key: bytes | None
    value: bytes | None
    timestamp: int
    headers: Headers = ()

    @classmethod
    def now(cls, offset: int, key: bytes | None, value: bytes | None) -> "Record":
        """Return a record of this moment."""
        return cls(offset, key, value, time.time_ns() // 1_000_000)


class _WatchedOrders(OrderStore):
    """Remembers the change that was made."""

    written: OrderWrite | None = None

    def commit(self, write: OrderWrite, deadline: Deadline) -> Outcome:
        """As OrderStore."""
        outcome = super().commit(write, deadline)
        if outcome is Outcome.DONE:
            self.written = write
        return outcome


class Attempts:
    """The order, and a request or commands about it, in one transaction. Every method raises DatabaseError."""

    def __init__(self, connection: Connection, settings: Settings) -> None:
        connection.execute(_LIMITS)
        self.transaction = OneTransaction(connection)
        self._commands = CommandService(BatchStore(self.transaction, settings.command_identity_days))
        self._answers = AnswerStore(self.transaction)
        self._refused = RefusedAccepts(self.transaction, self._answers, settings.refused_accept_seconds)

    def look(self, order_id: str) -> OrderState:
        """Return the order. Raises NotFound."""
        return self._find(LOAD_ORDERS, order_id)

    def hold(self, order_id: str) -> OrderState:
        """Return the order, which nobody else changes until the transaction ends. Raises NotFound."""
        return self._find(LOCK_ORDERS, order_id)

    def has_refused_accept(self, order_id: str) -> bool:
        """Tell whether a refused accept of the order is remembered [R8]."""
        return self._refused.has(order_id, Deadline(SECONDS), None)

    def request(self, command: Command, form: AnswerForm, source: ChangeSource) -> Attempt:
        """Do what the command asks for, as a request without a key does. Counts nothing: it may be undone."""
        orders = _WatchedOrders(self.transaction, self._answers)
        pages = PageStore(self.transaction, self.transaction)
        service = OrderService(orders, pages, self._answers, self._refused, lambda: None, counts=False)
        answer = service.execute(command, RequestContext(source, Deadline(SECONDS), None, form))
        return Attempt(answer, orders.written)

    def commands(self, records: Sequence[Record]) -> list[Tried]:
        """Return what the records would do, one after the other, and undo it. Raises CommandFault too."""
        return self._commands.try_out(records)

    def check_constraints(self) -> None:
        """Check now what would be checked at the commit."""
        self.transaction.check_constraints(Deadline(SECONDS))

    def _find(self, statement: Statement, order_id: str) -> OrderState:
        rows = self.transaction.run(statement, ([order_id],), Deadline(SECONDS)) if is_id(order_id) else []
        if not rows:
            raise NotFound(f"There is no order {order_id!r}.")
        return to_state(rows[0])


@contextmanager
def undone(settings: Settings) -> Iterator[Attempts]:
    """Lend a transaction that is rolled back at the end, whatever happens in it. Raises DatabaseUnusable."""
    with unusable_if_it_fails(), transaction(settings, SECONDS) as connection:
        try:
            yield Attempts(connection, settings)
        finally:
            connection.rollback()


@contextmanager
def unusable_if_it_fails() -> Iterator[None]:
    """Raise DatabaseUnusable, with a sentence for a person, for the DatabaseError of a statement in the body."""
    try:
        yield
    except DatabaseError as error:
        if error.sqlstate == _LOCKED:
            raise DatabaseUnusable(
                "Somebody else holds the order, or the command, now: try again. Nothing was changed."
            ) from None
        reason = LOST if isinstance(error, OutcomeUnknown) else error.reason  # it was lost before the commit
        raise DatabaseUnusable(f"{reason}. Nothing was changed.") from None


def differences(before: OrderState, after: OrderState) -> list[Difference]:
    """Return the members of the order JSON that differ."""
    old, new = before.to_wire(), after.to_wire()
    return [Difference(name, value, new[name]) for name, value in old.items() if value != new[name]]
