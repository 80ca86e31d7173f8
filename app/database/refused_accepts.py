"""Refused accepts [R8]: the bare clear of a refused runner must not take the order from the runner that holds it.

A runner whose accept is refused because another runner holds the order sends `/clearRunner` next, without its id. So
the refusal is remembered for some seconds, once for each order and runner. The next bare clear of that order uses the
oldest refusal up, changes nothing, and says so.

A clear marks the refusal that it uses with an id of its own, and deletes it when the commit is confirmed. Where the
confirmation is lost, the mark tells the same request whether it has had its refusal. A mark that stays belongs to a
request whose caller was never answered: after UNCONFIRMED_SECONDS the refusal may be used again, by the repeat of that
request. Until then another clear of the order waits, for it cannot know whether a refusal is left for it.
"""

import contextlib
import uuid

from app.database.answers import MOST_BEHIND_STUCK, AnswerStore, waiting
from app.database.pool import Session, Transactions, read
from app.database.statement import Statement
from app.models.errors import DatabaseBusy, DatabaseError
from app.models.writes import HttpAnswer, IdempotencyKey, Outcome
from app.utils.deadline import Deadline
from app.utils.tasks import sleep
from app.utils.turns import Turns

UNCONFIRMED_SECONDS = 1
MARK_LOOK_SECONDS = 0.05

# By the clock, not by the beginning of the transaction, which may have waited for just this.
_REMEMBERED = "order_id = $order_id AND refused_at > clock_timestamp() - make_interval(secs => $seconds)"
_FREE = f"(used_by IS NULL OR used_at < clock_timestamp() - interval '{UNCONFIRMED_SECONDS} s')"
_MARK = {"order_id": "text", "call_id": "uuid"}

HAS_REFUSED_ACCEPT = Statement(
    "has_refused_accept",
    {"order_id": "text", "seconds": "integer"},
    f"SELECT coalesce(bool_or({_FREE}), false), count(*) > 0 FROM refused_accepts WHERE {_REMEMBERED}",
)
REMEMBER_REFUSAL = Statement(
    "remember_refusal",
    {"order_id": "text", "runner_id": "text"},
    """
INSERT INTO refused_accepts (order_id, runner_id) VALUES ($order_id, $runner_id)
ON CONFLICT (order_id, runner_id) DO UPDATE SET refused_at = now(), used_by = NULL, used_at = NULL""",
)
# A request that tries again takes no second refusal: its first try may come to its end meanwhile.
USE_UP_REFUSAL = Statement(
    "use_up_refusal",
    {"order_id": "text", "seconds": "integer", "call_id": "uuid"},
    f"""
UPDATE refused_accepts SET used_by = $call_id, used_at = clock_timestamp()
WHERE (order_id, runner_id) = (
    SELECT order_id, runner_id FROM refused_accepts
    WHERE {_REMEMBERED} AND ({_FREE} OR used_by = $call_id)
    ORDER BY used_by IS DISTINCT FROM $call_id, refused_at LIMIT 1 FOR UPDATE)
RETURNING runner_id""",
)
_IS_MARKED = "order_id = $order_id AND used_by = $call_id"
FIND_USE = Statement("find_use", _MARK, f"SELECT 1 FROM refused_accepts WHERE {_IS_MARKED}")
CONFIRM_USE = Statement("confirm_use", _MARK, f"DELETE FROM refused_accepts WHERE {_IS_MARKED}")


class RefusedAccepts:
    """Every method blocks until its deadline at the longest, and raises DatabaseError.

    Requests of one process that write the refusals of an order wait for each other here, without a connection. They do
    not wait for those that change the order.
    """

    def __init__(self, pool: Transactions, answers: AnswerStore, seconds: int) -> None:
        """`seconds`: how long a refusal is remembered."""
        self._pool = pool
        self._answers = answers
        self._seconds = seconds
        self._turns = Turns(MOST_BEHIND_STUCK)

    def has(self, order_id: str, deadline: Deadline, session: Session | None) -> bool:
        """Tell whether a refusal is left for a clear of the order.

        A request that is in a transaction passes its session: all other connections may be waiting for its end. Waits
        while the only refusal is marked, UNCONFIRMED_SECONDS at the longest.
        """
        values = (order_id, self._seconds)
        while True:
            rows = session.execute(HAS_REFUSED_ACCEPT, values) if session else None
            ((is_free, is_remembered),) = rows or read(self._pool, HAS_REFUSED_ACCEPT, values, deadline)
            if is_free or not is_remembered:
                return bool(is_free)
            if deadline.remaining < MARK_LOOK_SECONDS:
                raise DatabaseBusy("The request took too long")
            sleep(MARK_LOOK_SECONDS)

    def remember(self, order_id: str, runner_id: str, deadline: Deadline) -> None:
        """Remember the refusal from now on. Commits."""
        with self._turns.take(order_id, deadline, DatabaseBusy("The order is busy")):
            read(self._pool, REMEMBER_REFUSAL, (order_id, runner_id), deadline)  # twice is as once

    def keep(
        self, order_id: str, runner_id: str, key: IdempotencyKey | None, answer: HttpAnswer, deadline: Deadline
    ) -> None:
        """Remember the refusal from now on, and store the answer under its key. Commits. Raises KeyTaken, KeyInUse."""

        def remember(session: Session) -> bool:
            session.execute(REMEMBER_REFUSAL, (order_id, runner_id))
            return True

        with self._turns.take(order_id, waiting(key, deadline), DatabaseBusy("The order is busy")):
            self._answers.keep(key, answer, deadline, remember)

    def use_up(
        self, order_id: str, call_id: uuid.UUID, key: IdempotencyKey | None, answer: HttpAnswer, deadline: Deadline
    ) -> Outcome:
        """Use up the oldest refusal of the order, and store the answer under its key. Commits.

        MOVED_ON: there is no refusal left. `call_id`: the request's mark. Raises KeyTaken and KeyInUse too.
        """
        mark = (order_id, call_id)

        def use(session: Session) -> bool:
            is_used = bool(session.execute(USE_UP_REFUSAL, (order_id, self._seconds, call_id)))
            if is_used and key is not None:
                session.execute(CONFIRM_USE, mark)  # the stored answer tells a request that tries again
            return is_used

        def is_used() -> bool:
            return bool(read(self._pool, FIND_USE, mark, deadline))

        with self._turns.take(order_id, waiting(key, deadline), DatabaseBusy("The order is busy")):
            if not self._answers.keep(key, answer, deadline, use, is_used):
                return Outcome.MOVED_ON
            if key is None:
                with contextlib.suppress(DatabaseError):
                    self._pool.run(CONFIRM_USE, mark, deadline)
        return Outcome.DONE
