"""Group commit: what several threads want to commit at the same time goes into one statement and one commit.

There is no thread for it and no waiting for company: the first thread commits what is there, its own item alone, and
whoever comes meanwhile is the next group, led by one of them. So a lone caller pays nothing, and the busier it gets the
larger the groups become.
"""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

import psycopg2

from app.models.database import DatabaseBusy, DatabaseTrouble, OutcomeUnknown
from app.utils.deadline import Deadline

MOST_AT_ONCE = 64
HURRIED_SECONDS = 0.5  # who has less left would cut the others short
LATE_SECONDS = 0.2  # a leader's call ends at its deadline, give or take the watchdog's look

T = TypeVar("T")


class _Member(Generic[T]):
    __slots__ = ("deadline", "error", "item", "leads", "woken")

    def __init__(self, item: T, deadline: Deadline) -> None:
        self.item = item
        self.deadline = deadline
        self.woken = threading.Event()
        self.leads = False
        self.error: Exception | None = None


class GroupCommit(Generic[T]):
    """Commits items in groups. `submit` may be called from any thread."""

    def __init__(self, commit: Callable[[Sequence[T], Deadline], None]) -> None:
        """`commit` commits all the items or none, and blocks until the deadline at the longest; it raises
        DatabaseTrouble and psycopg2's errors."""
        self._commit = commit
        self._lock = threading.Lock()
        self._waiting: deque[_Member[T]] = deque()
        self._led = False

    def submit(self, item: T, deadline: Deadline) -> None:
        """Return once the item is committed; blocks until `deadline` at the longest.

        Raises what `commit` raised, the same for the whole group; DatabaseBusy where there was no time to begin, and
        OutcomeUnknown where the leader did not come back in time.
        """
        if deadline.remaining < HURRIED_SECONDS:
            self._commit([item], deadline)
            return
        mine = _Member(item, deadline)
        with self._lock:
            self._waiting.append(mine)
            mine.leads, self._led = not self._led, True
        if not mine.leads and not mine.woken.wait(deadline.remaining + LATE_SECONDS):
            self._give_up(mine)
        if mine.leads:
            self._lead()
        if mine.error is not None:
            raise mine.error

    def _lead(self) -> None:
        """Commit the members that wait, the caller among them, and let one of those that came meanwhile go on."""
        with self._lock:
            group = [self._waiting.popleft() for _ in range(min(len(self._waiting), MOST_AT_ONCE))]
        error: Exception | None = OutcomeUnknown("The commit was not finished")
        try:
            self._commit([member.item for member in group], min((it.deadline for it in group), key=lambda it: it.at))
            error = None
        except (DatabaseTrouble, psycopg2.Error) as raised:
            error = raised
            raise
        finally:
            for member in group:
                member.error = error
                member.woken.set()
            self._hand_over()

    def _hand_over(self) -> None:
        with self._lock:
            self._led = bool(self._waiting)
            if self._led:
                self._waiting[0].leads = True
                self._waiting[0].woken.set()

    def _give_up(self, mine: _Member[T]) -> None:
        """Leave the group. Raises DatabaseBusy or OutcomeUnknown, unless the member was woken at the last moment."""
        with self._lock:
            waiting = mine in self._waiting
            if mine.woken.is_set() and not waiting:
                return
            if waiting:
                self._waiting.remove(mine)
        if mine.leads:
            self._hand_over()
        if waiting:
            raise DatabaseBusy("The request took too long")
        raise OutcomeUnknown("Whether the change was made is not known")
