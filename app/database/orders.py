"""Orders in PostgreSQL for the HTTP door: read, compare-and-swap. Commits what it writes."""

import uuid
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from app.database import lists
from app.database import statements as sql
from app.database.answers import MOST_BEHIND_STUCK, AnswerStore, answer_parameters, raise_if_taken, waiting
from app.database.groups import Groups
from app.database.pages import LARGE_TEXTS, LOAD_TEXTS, Listed, Page
from app.database.pool import Pool, Session, read
from app.database.rows import to_row, to_state
from app.database.statement import Statement
from app.models.errors import DatabaseAway, DatabaseBusy, OutcomeUnknown, ValuesRefused
from app.models.order import OrderState
from app.models.rules import Change
from app.models.writes import ChangeSource, Event, HttpAnswer, IdempotencyKey
from app.utils.deadline import Deadline
from app.utils.turns import Turns


@dataclass(frozen=True, slots=True)
class Write:
    """Everything that one change commits."""

    change: Change
    change_id: uuid.UUID
    origin: ChangeSource
    event: Event | None
    key: IdempotencyKey | None
    answer: HttpAnswer

    @property
    def statement(self) -> Statement:
        """The one statement that writes all of it."""
        return sql.WRITES[self.change.before is None, self.event is not None, self.key is not None]

    def parameters(self) -> list[Any]:
        """Return the statement's parameters."""
        values = self._values()
        if self.event is not None:
            values += [self.event.type, self.event.payload]
        return values if self.key is None else values + answer_parameters(self.key, self.answer)

    def row(self) -> list[Any]:
        """Return the values of a row of INSERT_NEW and UPDATE_FREE."""
        return [*self._values(), *((None, None) if self.event is None else (self.event.type, self.event.payload))]

    @property
    def size(self) -> int:
        """About how many bytes it writes."""
        return len(self.change.order.order_description or "") + (0 if self.event is None else len(self.event.payload))

    def _values(self) -> list[Any]:
        before = self.change.before.order_status if self.change.before else None
        history = [self.change_id, self.change.kind, before, self.change.runner_id]
        return [*to_row(self.change.order), *history, self.origin.door, self.origin.correlation_id]


class OrderStore:
    """The statements of the HTTP door. Every method blocks until its deadline at the longest."""

    def __init__(self, pool: Pool, refused_accept_seconds: int, bulk: Pool | None = None) -> None:
        """`bulk`: the connections for large texts, so that neither these wait for the callers nor they for these."""
        self._pool = pool
        self._bulk = bulk or pool
        self.answers = AnswerStore(pool, refused_accept_seconds)
        self._turns = Turns(MOST_BEHIND_STUCK)
        self._loads = Groups("load", self._load_all)
        self._creates = Groups("create", self._create_all)
        self._changes = Groups("change", self._update_free)

    def load(self, order_id: str, deadline: Deadline) -> OrderState | None:
        """Return the order as it is now, or None. Raises DatabaseTrouble."""
        try:
            return self._loads.submit(order_id, len(order_id), deadline)
        except (ValuesRefused, DatabaseBusy, OutcomeUnknown):
            return self._load_all([order_id], deadline)[0]

    def page(self, filters: dict[str, str], limit: int, offset: int, deadline: Deadline) -> Page:
        """Return one page of the matching orders, newest first, without large texts. Raises DatabaseTrouble."""
        values = [filters[name] for name in lists.FILTERS if name in filters]
        rows = read(self._pool, lists.page(filters, offset), [*values, limit, offset], deadline)
        return Page(rows[0][0], [row[1:] for row in rows if row[1] is not None])

    def with_texts(self, listed: Sequence[Listed], deadline: Deadline) -> list[OrderState]:
        """Return orders of a page with the texts that were left out of it. Raises DatabaseTrouble."""
        order_ids = [it.order.order_id for it in listed]
        rows = read(self._bulk, LOAD_TEXTS, (order_ids,), deadline)
        texts = {order_id: dict(zip(LARGE_TEXTS, found, strict=True)) for order_id, *found in rows}
        if len(texts) < len(listed):
            raise DatabaseBusy("An order of the page has just been removed")  # by somebody else: we never do
        return [it.with_texts(texts[it.order.order_id]) for it in listed]

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
                return self._written(write, deadline) or self.is_written(write, deadline)
            except (DatabaseAway, DatabaseBusy):
                raise lost from None  # nothing was done now, but the first try may have been

    def turn(self, order_id: str, until: Deadline) -> AbstractContextManager[bool]:
        """Return the turn of whoever may wait for the order in PostgreSQL. Entering raises DatabaseBusy when late."""
        return self._turns.take(order_id, until, DatabaseBusy("The order is busy"))

    def write_locked(self, write: Write, session: Session, until: Deadline) -> None:
        """Write a change in a transaction that holds the order's row. Does not commit."""
        session.limit(until)
        session.execute(write.statement, write.parameters())

    def locked(self, order_id: str, key: IdempotencyKey | None, session: Session, until: Deadline) -> OrderState | None:
        """Lock and return the order in a transaction; the key first, as the one-statement write does."""
        if key is not None:
            session.execute(sql.CLAIM_KEY, (key.path, key.key))
            session.limit(until)  # two waits, one deadline
        rows = session.execute(sql.LOCK_ORDERS, ([order_id],))
        return to_state(rows[0]) if rows else None

    def _together(self, write: Write, deadline: Deadline) -> bool:
        """Commit a change together with others; alone where they failed, for it may have been one of them, and where
        somebody else holds the order."""
        try:
            if write.change.before is None:
                return self._creates.submit(write, write.size, deadline)
            done = self._changes.submit(write, write.size, deadline)
        except (ValuesRefused, DatabaseBusy):
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
        before, until = write.change.before, waiting(write.key, deadline)
        if before is None:
            return self._written_now(write, deadline, until)
        with self.turn(before.order_id, until):
            return self._written_now(write, deadline, until)

    def _written_now(self, write: Write, deadline: Deadline, until: Deadline) -> bool:
        try:
            return bool(self._pool.run(write.statement, write.parameters(), until))
        except ValuesRefused as error:
            if error.constraint == "orders_pkey":
                return True  # a new order's id is random: only the first try of this very statement can have made it
            raise_if_taken(error)
            raise
        except DatabaseBusy:
            self.answers.raise_if_in_use(write.key, deadline)
            raise

    def is_written(self, write: Write, deadline: Deadline) -> bool:
        """Tell whether the history has the change: after a lost connection. Raises DatabaseTrouble."""
        order = write.change.order
        return bool(read(self._pool, sql.FIND_CHANGE, (order.order_id, order.version, write.change_id), deadline))


def _columns(writes: Sequence[Write]) -> list[list[Any]]:
    return [list(column) for column in zip(*map(Write.row, writes), strict=True)]
