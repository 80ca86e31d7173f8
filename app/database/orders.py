"""Orders in PostgreSQL for the HTTP door: load one, commit a change, or hold one until its change is committed."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from app.database import orders_sql as sql
from app.database.answers import MOST_BEHIND_STUCK, AnswerStore, raise_if_taken, waiting
from app.database.answers_sql import CLAIM_KEY, key_values
from app.database.groups import Groups
from app.database.pool import Pool, Session, read
from app.database.rows import to_state
from app.models.errors import DatabaseAway, DatabaseBusy, DatabaseTrouble, OutcomeUnknown, ValuesRefused
from app.models.order import OrderState
from app.models.writes import IdempotencyKey, OrderWrite, Outcome
from app.utils.deadline import Deadline
from app.utils.turns import Turns

_PATHS = {
    **{column: f"change.order.{column}" for column in sql.ORDER_COLUMNS},
    "change_id": "change_id",
    "kind": "change.kind",
    "from_status": "change.before.order_status",
    "concerned": "change.runner_id",
    "door": "source.door",
    "correlation_id": "source.correlation_id",
    "type": "event.type",
    "payload": "event.payload",
    "path": "key.path",
    "key": "key.key",
    "body_hash": "key.body_hash",
    "answer_status": "answer.status",
    "answer": "answer.body",
}
"""Where an OrderWrite has the value of each parameter."""

_ALONE = {
    (is_new, has_key): (statement, statement.values_by(_PATHS))
    for is_new, has_key, statement in (
        (True, False, sql.INSERT_ORDER),
        (True, True, sql.INSERT_ORDER_UNDER_KEY),
        (False, False, sql.UPDATE_ORDER),
        (False, True, sql.UPDATE_ORDER_UNDER_KEY),
    )
}
_new_values, _changed_values = sql.INSERT_NEW.values_by(_PATHS), sql.UPDATE_FREE.values_by(_PATHS)
_history_values = sql.FIND_CHANGE.values_by(_PATHS)


class LockedOrder:
    """An order whose row is held by a transaction. The transaction commits when the block of `OrderStore.hold` ends."""

    def __init__(self, order: OrderState | None, session: Session, until: Deadline) -> None:
        self._order = order
        self._until = until
        self.session = session
        self.written: OrderWrite | None = None

    def load(self, order_id: str, deadline: Deadline) -> OrderState | None:
        """Return the order, or None where there is none of this id."""
        return self._order

    def commit(self, write: OrderWrite, deadline: Deadline) -> Outcome:
        """Write a change; it is committed with the transaction."""
        self.session.limit(self._until)
        statement, values = _ALONE[False, write.key is not None]
        self.session.execute(statement, values(write))
        self.written = write
        return Outcome.DONE


class OrderStore:
    """Every method blocks until its deadline at the longest, and raises DatabaseError."""

    session: Session | None = None
    """None: each call has a connection of its own."""

    def __init__(self, pool: Pool, answers: AnswerStore) -> None:
        self._pool = pool
        self._answers = answers
        self._turns = Turns(MOST_BEHIND_STUCK)
        self._loads = Groups("load", self._load_all)
        self._creates = Groups("create", self._insert_all)
        self._changes = Groups("change", self._update_free)

    def load(self, order_id: str, deadline: Deadline) -> OrderState | None:
        """Return the order as it is now, or None."""
        try:
            return self._loads.submit(order_id, len(order_id), deadline)
        except (ValuesRefused, DatabaseBusy, OutcomeUnknown):
            return self._load_all([order_id], deadline)[0]

    def commit(self, write: OrderWrite, deadline: Deadline) -> Outcome:
        """Commit a change with its history, event and stored answer.

        Without a key it shares a statement with the changes of other requests. It goes alone where that failed, for
        another change may be at fault, and where another transaction holds the order. When the connection dies, the
        statement is sent once more, which its guard and its key make harmless; where there is nothing left to do, the
        history tells whether the first one was committed. Raises KeyTaken and KeyInUse too.
        """
        try:
            outcome = Outcome.HELD
            if write.key is None:
                try:
                    group = self._creates if write.change.before is None else self._changes
                    outcome = group.submit(write, write.size, deadline)
                except (ValuesRefused, DatabaseBusy):
                    pass
            return self._commit_alone(write, deadline) if outcome is Outcome.HELD else outcome
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
            except ValuesRefused as error:
                raise_if_taken(error)
                raise
            except DatabaseBusy:
                self._answers.raise_if_in_use(key, deadline)
                raise

    def _load_all(self, order_ids: Sequence[str], deadline: Deadline) -> Sequence[OrderState | None]:
        """An order that several requests ask for is read once: what is handed out does not change."""
        rows = self._pool.run(sql.LOAD_ORDERS, (sorted(set(order_ids)),), deadline)
        found = {order.order_id: order for order in map(to_state, rows)}
        return [found.get(order_id) for order_id in order_ids]

    def _insert_all(self, writes: Sequence[OrderWrite], deadline: Deadline) -> Sequence[Outcome]:
        if len(writes) == 1:  # arrays of one value take longer
            self._pool.run(sql.INSERT_ORDER, _new_values(writes[0]), deadline)
        else:
            self._pool.run(sql.INSERT_NEW, _columns(map(_new_values, writes)), deadline)
        return [Outcome.DONE] * len(writes)

    def _update_free(self, writes: Sequence[OrderWrite], deadline: Deadline) -> Sequence[Outcome]:
        """Commit the changes that need not wait: of several changes of one order the first, of a held order none."""
        first: dict[str, OrderWrite] = {}
        for write in writes:
            first.setdefault(write.change.order.order_id, write)
        rows = self._pool.run(sql.UPDATE_FREE, _columns(map(_changed_values, first.values())), deadline)
        changed = {order_id for (order_id,) in rows}

        def outcome(write: OrderWrite) -> Outcome:
            order_id = write.change.order.order_id
            if order_id not in changed:
                return Outcome.HELD
            return Outcome.DONE if first[order_id] is write else Outcome.MOVED_ON

        return [outcome(write) for write in writes]

    def _commit_alone(self, write: OrderWrite, deadline: Deadline) -> Outcome:
        before, until = write.change.before, waiting(write.key, deadline)
        if before is None:
            return self._run_alone(write, deadline, until)
        with self._turns.take(before.order_id, until, DatabaseBusy("The order is busy")):
            return self._run_alone(write, deadline, until)

    def _run_alone(self, write: OrderWrite, deadline: Deadline, until: Deadline) -> Outcome:
        statement, values = _ALONE[write.change.before is None, write.key is not None]
        try:
            rows = self._pool.run(statement, values(write), until)
        except ValuesRefused as error:
            if error.constraint == "orders_pkey":
                return Outcome.DONE  # a new order's id is random: only a first try of this very write can have made it
            raise_if_taken(error)
            raise
        except DatabaseBusy:
            self._answers.raise_if_in_use(write.key, deadline)
            raise
        return Outcome.DONE if rows else Outcome.MOVED_ON

    def _is_committed(self, write: OrderWrite, deadline: Deadline) -> bool:
        """Tell whether the history has the change."""
        return bool(read(self._pool, sql.FIND_CHANGE, _history_values(write), deadline))

    def _is_known_to_be_committed(self, write: OrderWrite, deadline: Deadline) -> bool:
        try:
            return self._is_committed(write, deadline)
        except DatabaseTrouble:
            return False


def _columns(rows: Iterator[tuple[Any, ...]]) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)]
