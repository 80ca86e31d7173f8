"""Coalescing: what several threads ask of the database at the same time goes into one statement, and one commit.

There is no thread for it and no waiting for company: the first thread asks for what is there, its own item alone, and
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
MOST_BYTES = 2 * 1024 * 1024  # a statement takes some times the memory of what it writes
HURRIED_SECONDS = 0.5  # who has less left would cut short those that he leads
LATE_SECONDS = 0.2  # a leader's call ends at its deadline, give or take the watchdog's look

T = TypeVar("T")
R = TypeVar("R")


class _Member(Generic[T, R]):
    __slots__ = ("deadline", "error", "item", "leads", "result", "size", "woken")

    def __init__(self, item: T, size: int, deadline: Deadline) -> None:
        self.item = item
        self.size = size
        self.deadline = deadline
        self.woken = threading.Event()
        self.leads = False
        self.result: R
        self.error: Exception | None = None


class Coalescer(Generic[T, R]):
    """Asks for items in groups. `submit` may be called from any thread."""

    def __init__(self, ask: Callable[[Sequence[T], Deadline], Sequence[R]]) -> None:
        """`ask` is one statement, of all the items or of none, and returns what became of each; it blocks until the
        deadline at the longest, and raises DatabaseTrouble and psycopg2's errors."""
        self._ask = ask
        self._lock = threading.Lock()
        self._waiting: deque[_Member[T, R]] = deque()
        self._led = False

    def submit(self, item: T, size: int, deadline: Deadline) -> R:
        """Return what became of the item, of `size` bytes, in its group; blocks until `deadline` at the longest.

        Raises what `ask` raised, the same for the whole group; DatabaseBusy where there was no time to begin, and
        OutcomeUnknown where the leader did not come back in time.
        """
        if deadline.remaining < HURRIED_SECONDS:
            return self._ask([item], deadline)[0]
        mine: _Member[T, R] = _Member(item, size, deadline)
        with self._lock:
            self._waiting.append(mine)
            mine.leads, self._led = not self._led, True
        if not mine.leads and not mine.woken.wait(deadline.remaining + LATE_SECONDS):
            self._give_up(mine)
        if mine.leads:
            self._lead(mine)
        if mine.error is not None:
            raise mine.error
        return mine.result

    def _lead(self, mine: _Member[T, R]) -> None:
        """Ask for the members that wait, `mine` the first of them, and let one of those that came meanwhile go on.

        Within the leader's time: who has less waits no longer than his own, who has more tries again by himself.
        """
        hurried = mine.deadline.remaining < HURRIED_SECONDS
        group = self._next_group(1 if hurried else MOST_AT_ONCE)
        if hurried:
            self._hand_over()
        error: Exception | None = OutcomeUnknown("The statement was not finished")
        try:
            results = self._ask([member.item for member in group], mine.deadline)
            for member, result in zip(group, results, strict=True):
                member.result = result
            error = None
        except (DatabaseTrouble, psycopg2.Error) as raised:
            error = raised
            raise
        finally:
            for member in group:
                member.error = error
                member.woken.set()
            if not hurried:
                self._hand_over()

    def _next_group(self, most: int) -> list[_Member[T, R]]:
        """Take the first that waits, and those after it as long as there is room."""
        with self._lock:
            group = [self._waiting.popleft()]
            size = group[0].size
            while self._waiting and len(group) < most and size + self._waiting[0].size <= MOST_BYTES:
                size += self._waiting[0].size
                group.append(self._waiting.popleft())
        return group

    def _hand_over(self) -> None:
        with self._lock:
            self._led = bool(self._waiting)
            if self._led:
                self._waiting[0].leads = True
                self._waiting[0].woken.set()

    def _give_up(self, mine: _Member[T, R]) -> None:
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
