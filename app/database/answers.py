"""Answers under an Idempotency-Key [H15] and refused accepts [R8] in PostgreSQL. Commits what it writes."""

import contextlib
import uuid
from collections.abc import Callable
from typing import Any

from app.database import statements as sql
from app.database.pool import Pool, Session, read
from app.models.errors import DatabaseAway, DatabaseBusy, DatabaseError, KeyInUse, OutcomeUnknown, ValuesRefused
from app.models.writes import HttpAnswer, IdempotencyKey
from app.utils.deadline import Deadline
from app.utils.limits import ASKING_SECONDS
from app.utils.tasks import sleep
from app.utils.turns import Turns

MOST_BEHIND_STUCK = 8  # whoever comes later is told that the order is busy
MARKED_LOOK_SECONDS = 0.05


class KeyTaken(Exception):
    """A twin was faster: its stored answer is the answer."""


class AnswerStore:
    """What is kept beside the orders. Every method blocks until its deadline at the longest."""

    def __init__(self, pool: Pool, refused_accept_seconds: int) -> None:
        self._pool = pool
        self._memory = refused_accept_seconds
        self._turns = Turns(MOST_BEHIND_STUCK)

    def is_forgivable(self, order_id: str, deadline: Deadline, session: Session | None = None) -> bool:
        """Tell whether a refused accept of this order is still remembered [R8]. Raises DatabaseTrouble.

        Who is in a transaction passes its session: all other connections may be waiting for it to end. One that is
        marked as used is waited for, UNCONFIRMED_SECONDS at the longest: its call is answered, or asked again.
        """
        values = (order_id, self._memory)
        while True:
            rows = session.execute(sql.IS_FORGIVABLE, values) if session else None
            free, remembered = (rows or read(self._pool, sql.IS_FORGIVABLE, values, deadline))[0]
            if free or not remembered:
                return bool(free)
            if deadline.remaining < MARKED_LOOK_SECONDS:
                raise DatabaseBusy("The request took too long")
            sleep(MARKED_LOOK_SECONDS)

    def find(self, key: IdempotencyKey, deadline: Deadline) -> tuple[bytes, HttpAnswer] | None:
        """Return the body hash and the answer stored under the key, or None. Raises DatabaseTrouble."""
        rows = read(self._pool, sql.FIND_ANSWER, (key.path, key.key), deadline)
        if not rows:
            return None
        body_hash, status, body = rows[0]
        return bytes(body_hash), HttpAnswer(status, bytes(body))

    def keep(self, key: IdempotencyKey | None, answer: HttpAnswer, deadline: Deadline) -> None:
        """Store an answer that goes with no change under its key, if there is one. Raises KeyTaken, KeyInUse and
        DatabaseTrouble."""
        if key is not None:
            self._keep(key, answer, deadline, lambda _: True)

    def keep_refused_accept(
        self, key: IdempotencyKey | None, answer: HttpAnswer, accept: tuple[str, str], deadline: Deadline
    ) -> None:
        """Store the refusal of an accept, and remember its order and runner from now on [R8]. Raises as `keep`."""

        def remember(session: Session) -> bool:
            session.execute(sql.REMEMBER_REFUSAL, accept)
            return True

        with self._turn(accept[0], waiting(key, deadline)):
            self._keep(key, answer, deadline, remember)

    def remember(self, accept: tuple[str, str], deadline: Deadline) -> None:
        """Remember a refused accept, by order and runner, from now on [R8]. Raises DatabaseTrouble."""
        with self._turn(accept[0], deadline):
            read(self._pool, sql.REMEMBER_REFUSAL, accept, deadline)  # twice is as once

    def use_refusal(
        self, key: IdempotencyKey | None, answer: HttpAnswer, order_id: str, call_id: uuid.UUID, deadline: Deadline
    ) -> bool:
        """Store the answer and use up the oldest remembered refusal of the order [R8]; False: there is none left.

        It is marked as used by this call, and deleted when that is known to be done: where the answer of the commit is
        lost, the mark tells. A mark that stays is a call whose caller was never answered. Raises as `keep`.
        """
        mark = (order_id, call_id)

        def use(session: Session) -> bool:
            used = bool(session.execute(sql.USE_UP_REFUSAL, (order_id, self._memory, call_id)))
            if used and key is not None:
                session.execute(sql.CONFIRM_USE, mark)  # the stored answer tells whoever asks again
            return used

        with self._turn(order_id, waiting(key, deadline)):
            if not self._keep(key, answer, deadline, use, lambda: bool(read(self._pool, sql.FIND_USE, mark, deadline))):
                return False
            if key is None:
                with contextlib.suppress(DatabaseError):
                    self._pool.run(sql.CONFIRM_USE, mark, deadline)
        return True

    def raise_if_in_use(self, key: IdempotencyKey | None, deadline: Deadline) -> None:
        """After a lock time-out: raise KeyInUse if it was the key's twin that held us up. Raises DatabaseTrouble."""
        if key is not None and not read(self._pool, sql.TRY_CLAIM_KEY, (key.path, key.key), deadline)[0][0]:
            raise KeyInUse

    def _turn(self, order_id: str, until: Deadline) -> contextlib.AbstractContextManager[bool]:
        """Return the turn of whoever may wait for the order's refused accepts in PostgreSQL: the others wait without a
        connection. A turn of its own: a caller may have the order's, and another's change of it goes on.

        Entering raises DatabaseBusy when late.
        """
        return self._turns.take(order_id, until, DatabaseBusy("The order is busy"))

    def _keep(
        self,
        key: IdempotencyKey | None,
        answer: HttpAnswer,
        deadline: Deadline,
        effect: Callable[[Session], bool],
        is_done: Callable[[], bool] = lambda: False,
    ) -> bool:
        """Store an answer and have an effect in one transaction, or neither where the effect finds nothing to do.

        A connection that dies in it: once more, unless `is_done` finds it done; a stored answer raises KeyTaken then.
        """
        try:
            return self._kept(key, answer, deadline, effect)
        except OutcomeUnknown as lost:
            try:
                return is_done() or self._kept(key, answer, deadline, effect) or is_done()
            except (DatabaseAway, DatabaseBusy):
                raise lost from None  # nothing was done now, but the first try may have been

    def _kept(
        self, key: IdempotencyKey | None, answer: HttpAnswer, deadline: Deadline, effect: Callable[[Session], bool]
    ) -> bool:
        until = waiting(key, deadline)
        try:
            with self._pool.transaction(until) as session:
                if key is not None:
                    session.execute(sql.KEEP_ANSWER, answer_parameters(key, answer))
                    session.limit(until)  # it may have waited for the key
                if not effect(session):
                    session.connection.rollback()
                    return False
        except ValuesRefused as error:
            raise_if_taken(error)
            raise
        except DatabaseBusy:
            self.raise_if_in_use(key, deadline)
            raise
        return True


def waiting(key: IdempotencyKey | None, deadline: Deadline) -> Deadline:
    """Return until when a statement may wait: with a key there must be time to ask whether that was it."""
    return deadline if key is None else deadline.sooner(ASKING_SECONDS)


def raise_if_taken(error: ValuesRefused) -> None:
    """Raise KeyTaken where the error says that the key has its answer."""
    if error.constraint == "idempotency_keys_pkey":
        raise KeyTaken from error


def answer_parameters(key: IdempotencyKey, answer: HttpAnswer) -> list[Any]:
    """Return the values of a stored answer."""
    return [key.path, key.key, key.body_hash, answer.status, answer.body]
