"""Groups: calls that arrive at the same time share one statement and one commit.

No dispatcher thread and no artificial delay: the first caller's statement runs at once, and callers that arrive
meanwhile form the next group. So a lone caller pays nothing, and with more load the groups grow. Calls from threads
form no groups.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from app.models.errors import DatabaseBusy, OutcomeUnknown, ValuesRefused
from app.utils.deadline import Deadline
from app.utils.line import Line
from app.utils.metrics import GROUP_SIZE
from app.utils.tasks import Gate, Task, call_after, current_task
from app.utils.tracing import of_request

MOST_AT_ONCE = 64
MOST_BYTES = 2 * 1024 * 1024  # a statement needs several times the memory of the data that it writes
HURRIED_SECONDS = 0.5  # a call with less time left goes alone
PATIENCE_SECONDS = 0.25  # the next group does not wait longer for one on a dead connection or a slow disk
LATE_SECONDS = 0.2  # a group's statement ends at its deadline, or a little later

T = TypeVar("T")
R = TypeVar("R")


class _Member(Generic[T, R]):
    __slots__ = ("deadline", "done", "error", "item", "result", "size", "span")

    def __init__(self, item: T, size: int, deadline: Deadline) -> None:
        self.item = item
        self.size = size
        self.deadline = deadline
        self.done = Gate()
        self.span = of_request.get()
        self.result: R
        self.error: Exception | None = None


class Groups(Generic[T, R]):
    """Calls of one kind."""

    def __init__(self, kind: str, ask: Callable[[Sequence[T], Deadline], Sequence[R]]) -> None:
        """`kind`: the label in the metrics, and in spans.

        `ask` runs one statement for all the items and returns the result of each. It blocks until the deadline at the
        longest. Where it raises DatabaseError, it raises it for the whole group.
        """
        self._kind = kind
        self._sizes = GROUP_SIZE.labels(kind)
        self._ask = ask
        self.line = Line[_Member[T, R]]()  # the calls that are in no group yet
        self._running: dict[object, float] = {}  # by task, when its statement began

    def submit(self, item: T, size: int, deadline: Deadline) -> R:
        """Return the result of an item of `size` bytes. Waits until `deadline`, and LATE_SECONDS more, at the longest.

        Raises what `ask` raised for the group, DatabaseBusy where the item did not get into a group in time, and
        OutcomeUnknown where its group did not end in time.
        """
        task = current_task()
        if task is None or deadline.remaining < HURRIED_SECONDS:
            return self._ask([item], deadline)[0]
        mine: _Member[T, R] = _Member(item, size, deadline)
        self.line.append(mine)
        self._start(task.loop)
        if not mine.done.wait(deadline.remaining + LATE_SECONDS):
            if mine not in self.line:
                raise OutcomeUnknown("Whether the change was made is not known")
            self.line.remove(mine)
            raise DatabaseBusy("The request took too long")
        if mine.error is not None:
            raise mine.error
        return mine.result

    def submit_read(self, item: T, size: int, deadline: Deadline) -> R:
        """As `submit`, for an item that may be asked for twice: where its group failed, it is asked for alone."""
        try:
            return self.submit(item, size, deadline)
        except (ValuesRefused, DatabaseBusy, OutcomeUnknown):
            return self._ask([item], deadline)[0]

    def _start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Start a task for the calls that wait, unless a statement is running that may soon end."""
        now = time.monotonic()
        if self.line and all(now - since > PATIENCE_SECONDS for since in self._running.values()):
            task = Task(loop, lambda: self._run(task))
            self._running[task] = now
            loop.call_soon(task.switch)

    def _run(self, task: Task) -> None:
        try:
            while self.line and task in self._running:
                self._running[task] = time.monotonic()
                timer = call_after(task.loop, PATIENCE_SECONDS, self._start, task.loop)
                self._ask_for(self._next_group())
                timer.cancel()
                if len(self._running) > 1:
                    return  # another task has taken over meanwhile
        finally:
            self._running.pop(task, None)
            self._start(task.loop)  # for calls that came since, beside a task that is stuck

    def _ask_for(self, group: list[_Member[T, R]]) -> None:
        # Members with less time give up by themselves, in `submit`.
        deadline = max((member.deadline for member in group), key=lambda deadline: deadline.at)
        began = time.time()
        self._sizes.observe(len(group))
        try:
            results = self._ask([member.item for member in group], deadline)
            for member, result in zip(group, results, strict=True):
                member.result = result
        except Exception as error:  # noqa: BLE001 - raised where the members wait
            for member in group:
                member.error = error
        for member in group:
            if member.span is not None:
                member.span.note(
                    "statement", {"db.operation.name": self._kind, "db.operation.batch.size": len(group)}, began
                )
            member.done.open()

    def _next_group(self) -> list[_Member[T, R]]:
        group = [self.line.serve()]
        size = group[0].size
        while self.line and len(group) < MOST_AT_ONCE and size + self.line[0].size <= MOST_BYTES:
            size += self.line[0].size
            group.append(self.line.serve())
        return group
