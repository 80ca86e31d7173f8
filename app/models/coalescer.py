"""Coalescing: what several threads ask of the database at the same time goes into one statement, and one commit.

There is no thread for it and no waiting for company: the first thread asks for what is there, its own item alone, and
whoever comes meanwhile is the next group, led by one of them. So a lone caller pays nothing, and the busier it gets the
larger the groups become.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

import psycopg2

from app.models.database import DatabaseBusy, DatabaseTrouble, OutcomeUnknown
from app.utils.deadline import Deadline

MOST_AT_ONCE = 64
MOST_BYTES = 2 * 1024 * 1024  # a statement takes some times the memory of what it writes
HURRIED_SECONDS = 0.5  # who has less left would cut short those that he leads
PATIENCE_SECONDS = 0.25  # a leader that takes longer, on a dead connection or a slow disk, is not waited for
LATE_SECONDS = 0.2  # a leader's call ends at its deadline, give or take the watchdog's look

T = TypeVar("T")
R = TypeVar("R")


class _Member(Generic[T, R]):
    __slots__ = ("deadline", "error", "item", "leads_since", "result", "size", "woken")

    def __init__(self, item: T, size: int, deadline: Deadline) -> None:
        self.item = item
        self.size = size
        self.deadline = deadline
        self.woken = threading.Event()
        self.leads_since: float | None = None
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
        self._leading: list[_Member[T, R]] = []

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
            if not self._is_led():
                self._give_lead(mine)
        self._await_turn(mine)
        if mine.leads_since is not None:
            self._lead(mine)
        if mine.error is not None:
            raise mine.error
        return mine.result

    def _await_turn(self, mine: _Member[T, R]) -> None:
        """Block until the member leads, or a leader has asked for it. Raises DatabaseBusy and OutcomeUnknown."""
        while mine.leads_since is None:
            left = mine.deadline.remaining + LATE_SECONDS
            if mine.woken.wait(max(min(left, PATIENCE_SECONDS), 0)):
                return
            with self._lock:
                waiting = mine in self._waiting and mine.leads_since is None
                if waiting and left > PATIENCE_SECONDS and not self._is_led():
                    self._give_lead(mine)
                elif left <= PATIENCE_SECONDS and not mine.woken.is_set():
                    self._give_up(mine)

    def _lead(self, mine: _Member[T, R]) -> None:
        """Ask for `mine` and those that wait, and let one of those that came meanwhile go on.

        Within the leader's time: who has less waits no longer than his own, who has more tries again by himself.
        """
        hurried = mine.deadline.remaining < HURRIED_SECONDS
        group = self._next_group(mine, 1 if hurried else MOST_AT_ONCE)
        if hurried:
            self._hand_over(mine)
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
                self._hand_over(mine)

    def _next_group(self, mine: _Member[T, R], most: int) -> list[_Member[T, R]]:
        """Take `mine`, and the longest that wait as long as there is room."""
        with self._lock:
            self._waiting.remove(mine)
            group, size = [mine], mine.size
            for member in [member for member in self._waiting if member.leads_since is None]:
                if len(group) == most or size + member.size > MOST_BYTES:
                    break
                size += member.size
                group.append(member)
                self._waiting.remove(member)
        return group

    def _is_led(self) -> bool:
        """Whether somebody leads who may soon come back; called with the lock."""
        now = time.monotonic()
        return any(now - (member.leads_since or now) < PATIENCE_SECONDS for member in self._leading)

    def _give_lead(self, member: _Member[T, R]) -> None:
        member.leads_since = time.monotonic()
        self._leading.append(member)
        member.woken.set()

    def _give_up(self, mine: _Member[T, R]) -> None:
        """Leave; called with the lock. Raises DatabaseBusy or OutcomeUnknown."""
        if mine not in self._waiting:
            raise OutcomeUnknown("Whether the change was made is not known")
        self._waiting.remove(mine)
        raise DatabaseBusy("The request took too long")

    def _hand_over(self, mine: _Member[T, R]) -> None:
        with self._lock:
            self._leading.remove(mine)
            following = next((member for member in self._waiting if member.leads_since is None), None)
            if following is not None and not self._is_led():
                self._give_lead(following)
