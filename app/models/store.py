"""Orders in PostgreSQL for the HTTP door: read, compare-and-swap, stored answers. Commits what it writes."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import psycopg2
from psycopg2.errorcodes import UNIQUE_VIOLATION

from app.models import lists
from app.models import statements as sql
from app.models.coalescer import Coalescer
from app.models.database import DatabaseAway, DatabaseBusy, OutcomeUnknown, Pool, Session, Statement
from app.models.order import OrderState
from app.models.rows import to_row, to_state
from app.models.rules import Change
from app.utils.deadline import Deadline


@dataclass(frozen=True, slots=True)
class Answer:
    """What a caller gets: the HTTP status and the JSON bytes."""

    status: int
    body: bytes


@dataclass(frozen=True, slots=True)
class IdempotencyKey:
    """The key of one request: unique per path, bound to the bytes of the body [H15]."""

    path: str
    key: str
    body_hash: bytes


@dataclass(frozen=True, slots=True)
class Event:
    """The record that announces a change: its type and finished bytes."""

    type: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class Origin:
    """Who asked: written into the history."""

    door: str
    correlation_id: str


@dataclass(frozen=True, slots=True)
class Write:
    """Everything that one change commits."""

    change: Change
    change_id: uuid.UUID
    origin: Origin
    event: Event | None
    key: IdempotencyKey | None
    answer: Answer

    @property
    def statement(self) -> Statement:
        """The one statement that writes all of it."""
        return sql.WRITES[self.change.before is None, self.event is not None, self.key is not None]

    def parameters(self) -> list[Any]:
        """Return the statement's parameters."""
        values = self._values()
        if self.event is not None:
            values += [self.event.type, self.event.payload]
        return values if self.key is None else values + _answer_parameters(self.key, self.answer)

    def row(self) -> list[Any]:
        """Return the values of a row of INSERT_NEW and UPDATE_FREE."""
        return [*self._values(), *((None, None) if self.event is None else (self.event.type, self.event.payload))]

    @property
    def size(self) -> int:
        """About how many bytes it writes."""
        return len(self.change.order.order_description) + (0 if self.event is None else len(self.event.payload))

    def _values(self) -> list[Any]:
        before = self.change.before.order_status if self.change.before else None
        history = [self.change_id, self.change.kind, before, self.change.runner_id]
        return [*to_row(self.change.order), *history, self.origin.door, self.origin.correlation_id]


class KeyTaken(Exception):
    """A twin was faster: its stored answer is the answer."""


class KeyInUse(Exception):
    """A twin is still being worked on."""


class OrderStore:
    """The statements of the HTTP door. Every method blocks until its deadline at the longest."""

    def __init__(self, pool: Pool, refused_accept_seconds: int) -> None:
        self._pool = pool
        self._memory = refused_accept_seconds
        self._loads = Coalescer(self._load_all)
        self._creates = Coalescer(self._create_all)
        self._changes = Coalescer(self._update_free)

    def load(self, order_id: str, deadline: Deadline) -> OrderState | None:
        """Return the order as it is now, or None. Raises DatabaseTrouble."""
        try:
            return self._loads.submit(order_id, len(order_id), deadline)
        except (psycopg2.Error, DatabaseBusy, OutcomeUnknown):
            return self._load_all([order_id], deadline)[0]

    def is_forgivable(self, order_id: str, deadline: Deadline, session: Session | None = None) -> bool:
        """Tell whether a refused accept of this order is still remembered [R8]. Raises DatabaseTrouble.

        Who is in a transaction passes its session: all other connections may be waiting for it to end.
        """
        values = (order_id, self._memory)
        if session is not None:
            return bool(session.execute(sql.IS_FORGIVABLE, values)[0][0])
        return bool(self.read(sql.IS_FORGIVABLE, values, deadline)[0][0])

    def page(
        self, filters: dict[str, str], limit: int, offset: int, deadline: Deadline
    ) -> tuple[int, list[OrderState]]:
        """Return the number of matching orders and those of one page, newest first. Raises DatabaseTrouble."""
        values = [filters[name] for name in lists.FILTERS if name in filters]
        rows = self.read(lists.page(filters, offset), [*values, limit, offset], deadline)
        return rows[0][0], [to_state(row[1:]) for row in rows if row[1] is not None]

    def stored_answer(self, key: IdempotencyKey, deadline: Deadline) -> tuple[bytes, Answer] | None:
        """Return the body hash and the answer stored under the key, or None. Raises DatabaseTrouble."""
        rows = self.read(sql.FIND_ANSWER, (key.path, key.key), deadline)
        if not rows:
            return None
        body_hash, status, body = rows[0]
        return bytes(body_hash), Answer(status, bytes(body))

    def read(self, statement: Statement, parameters: Sequence[Any], deadline: Deadline) -> list[tuple[Any, ...]]:
        """Run a statement that only reads; a connection that was dead already costs one more try."""
        try:
            return self._pool.run(statement, parameters, deadline)
        except OutcomeUnknown:
            return self._pool.run(statement, parameters, deadline)

    def write(self, write: Write, deadline: Deadline) -> bool:
        """Commit a change with its history, event and stored answer; False: the order moved on, nothing was done.

        A connection that dies in the statement: the same statement once more, which guard and key make harmless,
        and where that finds nothing to do the history tells whether the first one did it. Raises KeyTaken,
        KeyInUse and DatabaseTrouble.
        """
        try:
            return self._together(write, deadline) if write.key is None else self._written(write, deadline)
        except OutcomeUnknown as lost:
            try:
                return self._written(write, deadline) or self._committed(write, deadline)
            except (DatabaseAway, DatabaseBusy):
                raise lost from None  # nothing was done now, but the first try may have been

    def write_locked(self, write: Write, session: Session) -> None:
        """Write a change in a transaction that holds the order's row. Does not commit. Raises KeyTaken."""
        try:
            session.execute(write.statement, write.parameters())
        except psycopg2.Error as error:
            _raise_if_taken(error)
            raise

    def keep(
        self,
        key: IdempotencyKey | None,
        answer: Answer,
        deadline: Deadline,
        *,
        remember: tuple[str, str] | None = None,
        use_up: str | None = None,
    ) -> bool:
        """Store an answer that goes with no change, and with it what R8 asks for, in one transaction.

        `remember`: order and runner of a refused accept. `use_up`: the order whose oldest remembered refusal is
        spent; False when there is none left. Raises KeyTaken, KeyInUse and DatabaseTrouble.
        """
        if key is None and remember is None and use_up is None:
            return True
        try:
            with self._pool.transaction(deadline) as session:
                if key is not None:
                    session.execute(sql.KEEP_ANSWER, _answer_parameters(key, answer))
                if remember is not None:
                    session.execute(sql.REMEMBER_REFUSAL, remember)
                if use_up is not None and not session.execute(sql.USE_UP_REFUSAL, (use_up, self._memory)):
                    session.connection.rollback()
                    return False
        except psycopg2.Error as error:
            _raise_if_taken(error)
            raise
        except DatabaseBusy:
            self._raise_if_in_use(key, deadline)
            raise
        return True

    def locked(self, order_id: str, key: IdempotencyKey | None, session: Session) -> OrderState | None:
        """Lock and return the order in a transaction; the key first, as the one-statement write does."""
        if key is not None:
            session.execute(sql.CLAIM_KEY, (key.path, key.key))
        rows = session.execute(sql.LOCK_ORDERS, ([order_id],))
        return to_state(rows[0]) if rows else None

    def _together(self, write: Write, deadline: Deadline) -> bool:
        """Commit a change together with others; alone where they failed, for it may have been one of them, and where
        somebody else holds the order."""
        try:
            if write.change.before is None:
                return self._creates.submit(write, write.size, deadline)
            done = self._changes.submit(write, write.size, deadline)
        except (psycopg2.Error, DatabaseBusy):
            done = None
        return self._written(write, deadline) if done is None else done

    def _load_all(self, order_ids: Sequence[str], deadline: Deadline) -> Sequence[OrderState | None]:
        """Several ask for the same order: it is read once, and what is handed out does not change."""
        rows = self._pool.run(sql.LOAD_ORDERS, (sorted(set(order_ids)),), deadline)
        found = {order.order_id: order for order in map(to_state, rows)}
        return [found.get(order_id) for order_id in order_ids]

    def _create_all(self, writes: Sequence[Write], deadline: Deadline) -> Sequence[bool]:
        if len(writes) == 1:
            return [self._written(writes[0], deadline)]
        self._pool.run(sql.INSERT_NEW, _columns(writes), deadline)
        return [True] * len(writes)

    def _update_free(self, writes: Sequence[Write], deadline: Deadline) -> Sequence[bool | None]:
        """Commit the changes that need not wait for anybody: True done, False the order moved on, None not tried."""
        first: dict[str, Write] = {}
        for write in writes:
            first.setdefault(write.change.order.order_id, write)
        changed = {row[0] for row in self._pool.run(sql.UPDATE_FREE, _columns(list(first.values())), deadline)}

        def outcome(write: Write) -> bool | None:
            order_id = write.change.order.order_id
            return first[order_id] is write if order_id in changed else None

        return [outcome(write) for write in writes]

    def _written(self, write: Write, deadline: Deadline) -> bool:
        try:
            return bool(self._pool.run(write.statement, write.parameters(), deadline))
        except psycopg2.Error as error:
            if error.pgcode == UNIQUE_VIOLATION and error.diag.constraint_name == "orders_pkey":
                return True  # a new order's id is random: only the first try of this very statement can have made it
            _raise_if_taken(error)
            raise
        except DatabaseBusy:
            self._raise_if_in_use(write.key, deadline)
            raise

    def _committed(self, write: Write, deadline: Deadline) -> bool:
        order = write.change.order
        return bool(self.read(sql.FIND_CHANGE, (order.order_id, order.version, write.change_id), deadline))

    def _raise_if_in_use(self, key: IdempotencyKey | None, deadline: Deadline) -> None:
        """After a lock time-out: was it the key's twin that held us up?"""
        if key is not None and not self.read(sql.TRY_CLAIM_KEY, (key.path, key.key), deadline)[0][0]:
            raise KeyInUse


def _columns(writes: Sequence[Write]) -> list[list[Any]]:
    return [list(column) for column in zip(*map(Write.row, writes), strict=True)]


def _raise_if_taken(error: psycopg2.Error) -> None:
    if error.pgcode == UNIQUE_VIOLATION and error.diag.constraint_name == "idempotency_keys_pkey":
        raise KeyTaken from error


def _answer_parameters(key: IdempotencyKey, answer: Answer) -> list[Any]:
    return [key.path, key.key, key.body_hash, answer.status, answer.body]
