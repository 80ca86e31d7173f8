"""Groups: what several tasks ask of the database at the same time goes into one statement, and one commit.

There is no artificial delay: what is asked while a statement of its kind runs is the next group. So a lone caller pays
nothing, and the busier it gets the larger the groups become. Threads ask alone.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from app.models.errors import DatabaseBusy, OutcomeUnknown
from app.utils.deadline import Deadline
from app.utils.metrics import GROUP_SIZE
from app.utils.tasks import Gate, Task, call_after, current_task

MOST_AT_ONCE = 64
MOST_BYTES = 2 * 1024 * 1024  # a statement needs several times the memory of the data that it writes
HURRIED_SECONDS = 0.5  # whoever has less left would cut short the others of the group
PATIENCE_SECONDS = 0.25  # a group that takes longer, on a dead connection or a slow disk, is not waited for
LATE_SECONDS = 0.2  # a group's statement ends at its deadline, or a little later

T = TypeVar("T")
R = TypeVar("R")


class _Member(Generic[T, R]):
    __slots__ = ("deadline", "done", "error", "item", "result", "size")

    def __init__(self, item: T, size: int, deadline: Deadline) -> None:
        self.item = item
        self.size = size
        self.deadline = deadline
        self.done = Gate()
        self.result: R
        self.error: Exception | None = None


class Groups(Generic[T, R]):
    """Asks for items in groups."""

    def __init__(self, kind: str, ask: Callable[[Sequence[T], Deadline], Sequence[R]]) -> None:
        """`kind`: how the metrics call them.

        `ask` is one statement, of all the items or of none, and returns what became of each; it blocks until the
        deadline at the longest, and raises DatabaseTrouble and psycopg2's errors.
        """
        self._sizes = GROUP_SIZE.labels(kind)
        self._ask = ask
        self._waiting: deque[_Member[T, R]] = deque()
        self._running: dict[object, float] = {}  # since when each of the tasks has been asking

    def submit(self, item: T, size: int, deadline: Deadline) -> R:
        """Return what became of the item, of `size` bytes, in its group; waits until `deadline` at the longest.

        Raises what `ask` raised, the same for the whole group; DatabaseBusy where there was no time to begin, and
        OutcomeUnknown where the group did not end in time.
        """
        task = current_task()
        if task is None or deadline.remaining < HURRIED_SECONDS:
            return self._ask([item], deadline)[0]
        mine: _Member[T, R] = _Member(item, size, deadline)
        self._waiting.append(mine)
        self._start(task.loop)
        if not mine.done.wait(deadline.remaining + LATE_SECONDS):
            if mine not in self._waiting:
                raise OutcomeUnknown("Whether the change was made is not known")
            self._waiting.remove(mine)
            raise DatabaseBusy("The request took too long")
        if mine.error is not None:
            raise mine.error
        return mine.result

    def _start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Let a task ask for those that wait, unless one does that may soon come back."""
        now = time.monotonic()
        if self._waiting and all(now - since > PATIENCE_SECONDS for since in self._running.values()):
            task = Task(loop, lambda: self._run(task))
            self._running[task] = now
            loop.call_soon(task.switch)

    def _run(self, task: Task) -> None:
        try:
            while self._waiting and task in self._running:
                self._running[task] = time.monotonic()
                timer = call_after(task.loop, PATIENCE_SECONDS, self._start, task.loop)
                self._ask_for(self._next_group())
                timer.cancel()
                if len(self._running) > 1:
                    return  # another has taken over meanwhile
        finally:
            self._running.pop(task, None)
            self._start(task.loop)  # whoever has come since, beside one that is stuck

    def _ask_for(self, group: list[_Member[T, R]]) -> None:
        deadline = max((member.deadline for member in group), key=lambda it: it.at)  # others give up by themselves
        self._sizes.observe(len(group))
        try:
            results = self._ask([member.item for member in group], deadline)
            for member, result in zip(group, results, strict=True):
                member.result = result
        except Exception as error:  # noqa: BLE001 - raised where the members wait
            for member in group:
                member.error = error
        for member in group:
            member.done.open()

    def _next_group(self) -> list[_Member[T, R]]:
        group = [self._waiting.popleft()]
        size = group[0].size
        while self._waiting and len(group) < MOST_AT_ONCE and size + self._waiting[0].size <= MOST_BYTES:
            size += self._waiting[0].size
            group.append(self._waiting.popleft())
        return group
