"""Orders in PostgreSQL for the HTTP door: load one, commit a change, or hold one until its change is committed."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from operator import attrgetter
from typing import Any

from app.database import orders_sql as sql
from app.database.answers import MOST_BEHIND_STUCK, AnswerStore, waiting
from app.database.answers_sql import CLAIM_KEY, key_values
from app.database.arrays import as_columns
from app.database.groups import Groups
from app.database.pool import Session, Transactions, read
from app.database.rows import to_row, to_state
from app.database.statement import Statement
from app.models.errors import DatabaseAway, DatabaseBusy, DatabaseTrouble, OutcomeUnknown, ValuesRefused
from app.models.order import OrderState
from app.models.writes import IdempotencyKey, OrderWrite, Outcome
from app.utils.deadline import Deadline
from app.utils.line import Line
from app.utils.turns import Turns

_changed_order_values = attrgetter(*(column for column in sql.ORDER_COLUMNS if column != "created_at"))
_source_values = attrgetter("door", "correlation_id", "caller", "traceparent")


def new_row(write: OrderWrite) -> tuple[Any, ...]:
    """Return the values of INSERT_ORDER's parameters, in their order. INSERT_NEW takes a list of each."""
    change, source, event = write.change, write.source, write.event
    history = write.change_id, change.kind, change.runner_id
    return *to_row(change.order), *history, *_source_values(source), event.type, event.payload


def changed_row(write: OrderWrite) -> tuple[Any, ...]:
    """Return the values of UPDATE_ORDER's parameters, in their order. UPDATE_FREE takes a list of each."""
    change, source, event = write.change, write.source, write.event
    assert change.before is not None
    history = write.change_id, change.kind, change.before.order_status, change.runner_id
    values = _changed_order_values(change.order)
    return *values, *history, *_source_values(source), event.type, event.payload


def single_statement(write: OrderWrite) -> tuple[Statement, tuple[Any, ...]]:
    """Return the statement that commits the write by itself, and its values."""
    is_new = write.change.before is None
    row = new_row(write) if is_new else changed_row(write)
    if write.key is None:
        return sql.INSERT_ORDER if is_new else sql.UPDATE_ORDER, row
    statement = sql.INSERT_ORDER_UNDER_KEY if is_new else sql.UPDATE_ORDER_UNDER_KEY
    return statement, (*row, *key_values(write.key), write.key.body_hash, write.answer.status, write.answer.body)


class LockedOrder:
    """An order whose row is held by a transaction, which commits when the block of `OrderStore.hold` ends.

    A use case takes it in place of the OrderStore: hence the arguments, which were settled when the row was locked.
    """

    def __init__(self, order: OrderState | None, session: Session, until: Deadline) -> None:
        self._order = order
        self._until = until
        self.session = session
        self.written: OrderWrite | None = None

    def load(self, order_id: str, deadline: Deadline) -> OrderState | None:
        """Return the held order, None if there is none."""
        return self._order

    def commit(self, write: OrderWrite, deadline: Deadline) -> Outcome:
        """Write a change; it is committed with the transaction."""
        self.session.limit(self._until)
        self.session.execute(*single_statement(write))
        self.written = write
        return Outcome.DONE


class OrderStore:
    """Every method blocks until its deadline at the longest, and raises DatabaseError."""

    session: Session | None = None
    """None: each call has a connection of its own."""

    def __init__(self, pool: Transactions, answers: AnswerStore) -> None:
        self._pool = pool
        self._answers = answers
        self._turns = Turns(MOST_BEHIND_STUCK)
        self._loads = Groups("load", self._load_all)
        self._creates = Groups("create", self._insert_all)
        self._changes = Groups("change", self._update_free)

    @property
    def lines(self) -> tuple[Line[Any], ...]:
        """The calls that wait for a group's statement, or for a connection; not those that wait for one order."""
        return self._answers.line, self._loads.line, self._creates.line, self._changes.line, self._pool.line

    def load(self, order_id: str, deadline: Deadline) -> OrderState | None:
        """Return the order as it is now, or None."""
        return self._loads.submit_read(order_id, len(order_id), deadline)

    def commit(self, write: OrderWrite, deadline: Deadline) -> Outcome:
        """Commit a change with its history, event and stored answer.

        - Without a key, the change shares a statement with the changes of other requests.
        - It goes alone if the shared statement failed, for another change may be at fault, or did not apply it, for
          another transaction holds the order.
        - If the connection dies, the change is sent alone once more: its guard and its key make that harmless. If
          nothing is left to do then, the history tells whether the first try was committed.

        Raises KeyTaken and KeyInUse too.
        """
        try:
            outcome = None
            if write.key is None:
                try:
                    group = self._creates if write.change.before is None else self._changes
                    outcome = group.submit(write, write.size, deadline)
                except (ValuesRefused, DatabaseBusy):
                    pass
            return outcome or self._commit_alone(write, deadline)
        except OutcomeUnknown as lost:
            try:
                outcome = self._commit_alone(write, deadline)
                is_done = outcome is Outcome.DONE or self._is_committed(write, deadline)
                return Outcome.DONE if is_done else outcome
            except (DatabaseAway, DatabaseBusy):
                raise lost from None  # nothing was done now, but the first try may have come through

    @contextmanager
    def hold(self, order_id: str, key: IdempotencyKey | None, deadline: Deadline) -> Iterator[LockedOrder]:
        """Hold the order's row for a block, and commit what the block writes. Raises KeyTaken and KeyInUse too.

        The key is claimed before the row, as in the statements that write under a key.
        """
        until = waiting(key, deadline)
        with self._turns.take(order_id, until, DatabaseBusy("The order is busy")):
            held = None
            try:
                with self._pool.transaction(until) as session:
                    if key is not None:
                        session.execute(CLAIM_KEY, key_values(key))
                        session.limit(until)  # two waits, one deadline
                    rows = session.execute(sql.LOCK_ORDERS, ([order_id],))
                    held = LockedOrder(to_state(rows[0]) if rows else None, session, until)
                    yield held
            except OutcomeUnknown as lost:
                if held is None or held.written is None or not self._is_known_to_be_committed(held.written, deadline):
                    raise lost from None
            except (ValuesRefused, DatabaseBusy) as error:
                self._answers.raise_for_key(error, key, deadline)
                raise

    def _load_all(self, order_ids: Sequence[str], deadline: Deadline) -> Sequence[OrderState | None]:
        """Read each order once, however many requests ask for it: an OrderState never changes."""
        rows = self._pool.run(sql.LOAD_ORDERS, (sorted(set(order_ids)),), deadline)
        found = {order.order_id: order for order in map(to_state, rows)}
        return [found.get(order_id) for order_id in order_ids]

    def _insert_all(self, writes: Sequence[OrderWrite], deadline: Deadline) -> Sequence[Outcome | None]:
        if len(writes) == 1:  # arrays of one value take longer
            self._pool.run(sql.INSERT_ORDER, new_row(writes[0]), deadline)
        else:
            self._pool.run(sql.INSERT_NEW, as_columns(map(new_row, writes)), deadline)
        return [Outcome.DONE] * len(writes)

    def _update_free(self, writes: Sequence[OrderWrite], deadline: Deadline) -> Sequence[Outcome | None]:
        """Commit the changes whose orders no other transaction holds; of several changes of one order only the first.

        None stands for a change that was not applied, and must go alone.
        """
        first: dict[str, OrderWrite] = {}
        for write in writes:
            first.setdefault(write.change.order.order_id, write)
        rows = self._pool.run(sql.UPDATE_FREE, as_columns(map(changed_row, first.values())), deadline)
        changed = {order_id for (order_id,) in rows}

        def outcome(write: OrderWrite) -> Outcome | None:
            order_id = write.change.order.order_id
            if order_id not in changed:
                return None
            return Outcome.DONE if first[order_id] is write else Outcome.MOVED_ON

        return [outcome(write) for write in writes]

    def _commit_alone(self, write: OrderWrite, deadline: Deadline) -> Outcome:
        before, until = write.change.before, waiting(write.key, deadline)
        if before is None:
            return self._run_alone(write, deadline, until)
        with self._turns.take(before.order_id, until, DatabaseBusy("The order is busy")):
            return self._run_alone(write, deadline, until)

    def _run_alone(self, write: OrderWrite, deadline: Deadline, until: Deadline) -> Outcome:
        statement, values = single_statement(write)
        try:
            rows = self._pool.run(statement, values, until)
        except (ValuesRefused, DatabaseBusy) as error:
            if isinstance(error, ValuesRefused) and error.constraint == "orders_pkey":
                return Outcome.DONE  # a new order's id is random: only a first try of this very write can have made it
            self._answers.raise_for_key(error, write.key, deadline)
            raise
        return Outcome.DONE if rows else Outcome.MOVED_ON

    def _is_committed(self, write: OrderWrite, deadline: Deadline) -> bool:
        """Tell whether the history has the change."""
        order = write.change.order
        return bool(read(self._pool, sql.FIND_CHANGE, (order.order_id, order.version, write.change_id), deadline))

    def _is_known_to_be_committed(self, write: OrderWrite, deadline: Deadline) -> bool:
        try:
            return self._is_committed(write, deadline)
        except DatabaseTrouble:
            return False
