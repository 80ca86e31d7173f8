"""Answers under an Idempotency-Key [H15]: found, and stored when no order changes.

The answer to a change is stored by the statement that makes the change (orders_sql.py).
"""

from collections.abc import Callable, Sequence
from typing import Any

from app.database import answers_sql as sql
from app.database.arrays import as_columns
from app.database.groups import Groups
from app.database.pool import Session, Transactions, read
from app.models.errors import DatabaseAway, DatabaseBusy, KeyInUse, KeyTaken, OutcomeUnknown, ValuesRefused
from app.models.writes import HttpAnswer, IdempotencyKey
from app.utils.deadline import Deadline
from app.utils.limits import ASKING_SECONDS
from app.utils.line import Line

MOST_BEHIND_STUCK = 8
"""So many requests wait behind one that has long been at an order; the others are told that the order is busy."""

Stored = tuple[bytes, HttpAnswer]
"""The SHA-256 of the request's body, and the answer."""

Effect = Callable[[Session], bool]
"""What else a transaction does. False: there is nothing to do, and nothing is to be committed."""


class AnswerStore:
    """Every method blocks until its deadline at the longest, and raises DatabaseError."""

    def __init__(self, pool: Transactions) -> None:
        self._pool = pool
        self._finds = Groups("answer", self._find_all)

    @property
    def line(self) -> Line[Any]:
        """The calls of `find` that wait for a group's statement."""
        return self._finds.line

    def find(self, key: IdempotencyKey, deadline: Deadline) -> Stored | None:
        """Return the hash of the body and the answer stored under the key, or None."""
        return self._finds.submit_read(key, len(key.path) + len(key.key), deadline)

    def keep(
        self,
        key: IdempotencyKey | None,
        answer: HttpAnswer,
        deadline: Deadline,
        effect: Effect = lambda _: True,
        is_done: Callable[[], bool] = lambda: False,
    ) -> bool:
        """Commit the answer where there is a key, and an effect; false where there was nothing to do.

        When the connection dies, `is_done` tells whether the commit came through; where it did not, the transaction
        is tried once more. Raises KeyTaken and KeyInUse too.
        """
        try:
            return self._commit(key, answer, deadline, effect)
        except OutcomeUnknown as lost:
            try:
                return is_done() or self._commit(key, answer, deadline, effect) or is_done()
            except (DatabaseAway, DatabaseBusy):
                raise lost from None  # nothing was done now, but the first try may have come through

    def raise_for_key(self, error: Exception, key: IdempotencyKey | None, deadline: Deadline) -> None:
        """Raise what a failed statement under the key means for it, if that is why it failed.

        KeyTaken: the key has its answer. KeyInUse: another request holds it, and the statement waited too long.
        """
        if isinstance(error, ValuesRefused):
            if error.constraint == "idempotency_keys_pkey":
                raise KeyTaken from error
        elif key is not None and read(self._pool, sql.TRY_CLAIM_KEY, sql.key_values(key), deadline) == [(False,)]:
            raise KeyInUse

    def _find_all(self, keys: Sequence[IdempotencyKey], deadline: Deadline) -> Sequence[Stored | None]:
        if len(keys) == 1:  # arrays of one value take longer
            rows = self._pool.run(sql.FIND_ANSWER, sql.key_values(keys[0]), deadline)
            return [_stored(*rows[0]) if rows else None]
        found = self._pool.run(sql.FIND_ANSWERS, as_columns(map(sql.key_values, keys)), deadline)
        stored = {(path, key): _stored(*answer) for path, key, *answer in found}
        return [stored.get((key.path, key.key)) for key in keys]

    def _commit(self, key: IdempotencyKey | None, answer: HttpAnswer, deadline: Deadline, effect: Effect) -> bool:
        until = waiting(key, deadline)
        try:
            with self._pool.transaction(until) as session:
                if key is not None:
                    stored = {"body_hash": key.body_hash, "answer_status": answer.status, "answer": answer.body}
                    values = sql.KEEP_ANSWER.in_order({"path": key.path, "key": key.key, **stored})
                    session.execute(sql.KEEP_ANSWER, values)
                    session.limit(until)  # it may have waited for the key
                if not effect(session):
                    session.roll_back()
                    return False
        except (ValuesRefused, DatabaseBusy) as error:
            self.raise_for_key(error, key, deadline)
            raise
        return True


def _stored(body_hash: bytes, status: int, body: bytes) -> Stored:
    return bytes(body_hash), HttpAnswer(status, bytes(body))


def waiting(key: IdempotencyKey | None, deadline: Deadline) -> Deadline:
    """Return until when a statement may wait: with a key, time is left to ask whether it waited for the key."""
    return deadline if key is None else deadline.sooner(ASKING_SECONDS)
