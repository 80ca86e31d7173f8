"""Turns: of the requests that want the same row, one goes on, and the others wait in the process, in order.

A request that waited in PostgreSQL for the row would hold a connection, and the callers of one busy order all of them.
"""

import contextlib
import threading
import time
from collections import deque
from collections.abc import Hashable, Iterator

from app.utils.deadline import Deadline
from app.utils.tasks import Gate

LOOK_SECONDS = 0.25
STUCK_SECONDS = 0.5  # a turn that takes longer waits for a lock of another process


class _Ticket:
    __slots__ = ("called", "since")

    def __init__(self) -> None:
        self.called = Gate()
        self.since = 0.0

    def call(self) -> None:
        self.since = time.monotonic()
        self.called.open()


class Turns:
    """Takes turns by name. A turn without other waiters costs a microsecond."""

    def __init__(self, most_behind_stuck: int | None = None) -> None:
        """`most_behind_stuck`: how many may wait behind a stuck turn; the others are late at once."""
        self._most = most_behind_stuck
        self._lock = threading.Lock()
        self._queues: dict[Hashable, deque[_Ticket]] = {}

    @contextlib.contextmanager
    def take(self, name: Hashable, deadline: Deadline, late: Exception) -> Iterator[bool]:
        """Run the body in its turn; yield whether it had to wait. Blocks until `deadline`, then raises `late`."""
        mine = _Ticket()
        with self._lock:
            queue = self._queues.setdefault(name, deque())
            queue.append(mine)
            waits = len(queue) > 1
            if not waits:
                mine.call()
        try:
            if waits and not self._is_called(queue, mine, deadline):
                raise late
            yield waits
        finally:
            self._leave(name, queue, mine)

    def _is_called(self, queue: deque[_Ticket], mine: _Ticket, deadline: Deadline) -> bool:
        """Block until it is the ticket's turn. Return false where waiting is in vain."""
        while not mine.called.wait(max(min(deadline.remaining, LOOK_SECONDS), 0)):
            if deadline.passed or self._is_hopeless(queue, mine):
                return False
        return True

    def _is_hopeless(self, queue: deque[_Ticket], mine: _Ticket) -> bool:
        if self._most is None:
            return False
        with self._lock:
            return queue.index(mine) > self._most and time.monotonic() - queue[0].since > STUCK_SECONDS

    def _leave(self, name: Hashable, queue: deque[_Ticket], mine: _Ticket) -> None:
        with self._lock:
            had_turn = queue[0] is mine
            queue.remove(mine)
            if not queue:
                del self._queues[name]
            elif had_turn:
                queue[0].call()
