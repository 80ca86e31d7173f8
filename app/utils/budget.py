"""A budget in bytes for large answers: a weighted semaphore, first come, first served.

An answer keeps its share until its client has taken the answer, so clients that read slowly, or not at all, could use
up the budget. They may, while no other request waits for a share. When one waits, the budget stops the answers whose
clients have been waited for the longest.
"""

import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator

from app.utils.deadline import Deadline
from app.utils.tasks import Gate

PATIENCE_SECONDS = 1.0  # a client gets so much time even if another request waits for its share
MAX_OVERDRAWN = 1.25  # times the total
LOOK_SECONDS = 0.25

Stop = Callable[[], None]


class Share:
    """The bytes of the budget that one answer holds."""

    def __init__(self, budget: "Budget", size: int) -> None:
        self._budget = budget
        self.size = size

    def resize(self, size: int) -> None:
        """Hold `size` bytes from now on. Never waits; when a share grows, later requests wait instead."""
        more, self.size = size - self.size, size
        self._budget.charge(more)

    def release(self) -> None:
        """Give the bytes back; a second call does nothing."""
        self.resize(0)

    @contextlib.contextmanager
    def waiting(self, stop: Stop) -> Iterator[None]:
        """Run the body, which waits for the client. `stop` is called where others need the bytes, to end the wait."""
        self._budget.slow[self] = time.monotonic(), stop
        try:
            yield
        finally:
            self._budget.slow.pop(self, None)


class _Claim:
    __slots__ = ("gate", "size")

    def __init__(self, size: int) -> None:
        self.size = size
        self.gate = Gate()


class Budget:
    """`total` bytes. `overdraw` and `resize` may raise `held` above the total; then every new request waits."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.held = 0
        self.slow: dict[Share, tuple[float, Stop]] = {}  # shares that wait for clients, since when; longest first
        self._lock = threading.Lock()
        self._claims: deque[_Claim] = deque()

    def take(self, size: int, deadline: Deadline, late: Exception) -> Share:
        """Return a share of `size` bytes, or of all if that is less. Blocks until `deadline`, then raises `late`."""
        claim = _Claim(min(size, self.total))
        with self._lock:
            self._claims.append(claim)
            self._serve()
        if not claim.gate.is_open:
            self._wait(claim, deadline, late)
        return Share(self, claim.size)

    def overdraw(self, size: int) -> Share:
        """Return a share for an answer that exists already, whatever is left of the budget.

        Above the total, clients that had PATIENCE_SECONDS are stopped; above MAX_OVERDRAWN, the longest waits at once.
        """
        self.charge(size)
        self._stop_clients(self.held - self.total)
        self._stop_clients(self.held - int(self.total * MAX_OVERDRAWN), 0.0)
        return Share(self, size)

    def charge(self, size: int) -> None:
        """Hold `size` bytes more, or fewer if `size` is negative."""
        with self._lock:
            self.held += size
            if size < 0:
                self._serve()

    def _wait(self, claim: _Claim, deadline: Deadline, late: Exception) -> None:
        while True:
            self._stop_clients_for(claim)
            if claim.gate.wait(max(min(deadline.remaining, LOOK_SECONDS), 0)):
                return
            if deadline.passed:
                break
        with self._lock:
            if claim.gate.is_open:
                return
            self._claims.remove(claim)
            self._serve()
        raise late

    def _stop_clients_for(self, claim: _Claim) -> None:
        with self._lock:
            needed = self.held + claim.size - self.total if self._claims and self._claims[0] is claim else 0
        self._stop_clients(needed)

    def _serve(self) -> None:
        """Grant the claims that fit, in order. Call with the lock held."""
        while self._claims and self.held + self._claims[0].size <= self.total:
            claim = self._claims.popleft()
            self.held += claim.size
            claim.gate.open()

    def _stop_clients(self, size: int, patience_seconds: float | None = None) -> None:
        """Stop waits for clients that are longer than the patience, the longest first, until `size` bytes are free."""
        patience = PATIENCE_SECONDS if patience_seconds is None else patience_seconds
        for share, (since, stop) in list(self.slow.items()):
            if size <= 0 or time.monotonic() - since < patience:
                return
            del self.slow[share]
            size -= share.size
            share.release()  # at once, not when the answer ends: the next look must not stop others for these bytes
            stop()
