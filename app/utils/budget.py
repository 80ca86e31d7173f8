"""A budget in bytes for the answers in the making: a weighted semaphore whose shares go in the order of asking.

What an answer holds until its client has taken it belongs to it too, so clients that read slowly, or not at all, could
keep the budget from everybody else. They may have what nobody wants: while somebody waits for a share, those are let go
whose clients have been waited for the longest.
"""

import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator

from app.utils.deadline import Deadline
from app.utils.tasks import Gate

PATIENCE_SECONDS = 1.0  # for which a client is waited for whoever else wants its share
MAX_OVERDRAWN = 1.25  # times the total
LOOK_SECONDS = 0.25

Stop = Callable[[], None]


class Share:
    """Bytes of the budget that one answer holds."""

    def __init__(self, budget: "Budget", size: int) -> None:
        self._budget = budget
        self.size = size

    def resize(self, size: int) -> None:
        """Hold so many from now on. Never waits: when it grows, the others do."""
        more, self.size = size - self.size, size
        self._budget.charge(more)

    def release(self) -> None:
        """Give them back; a second time does nothing."""
        self.resize(0)

    @contextlib.contextmanager
    def waiting(self, stop: Stop) -> Iterator[None]:
        """Run the body, which waits for the client. Others who need the bytes call `stop`, which must end that wait."""
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
    """So many bytes. `held` may exceed them where `overdraw` or `resize` were called; then all who come wait."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.held = 0
        self.slow: dict[Share, tuple[float, Stop]] = {}  # since when its client is waited for; the longest first
        self._lock = threading.Lock()
        self._claims: deque[_Claim] = deque()

    def take(self, size: int, deadline: Deadline, late: Exception) -> Share:
        """Return a share of so many bytes, of all at most. Waits for it; raises `late` when that takes too long."""
        claim = _Claim(min(size, self.total))
        with self._lock:
            self._claims.append(claim)
            self._serve()
        if not claim.gate.is_open:
            self._wait(claim, deadline, late)
        return Share(self, claim.size)

    def overdraw(self, size: int) -> Share:
        """Return a share for an answer that is made already, whatever is left.

        Far beyond the total nobody is waited for: then memory is what everybody needs.
        """
        self.charge(size)
        self._let_go(self.held - self.total)
        self._let_go(self.held - int(self.total * MAX_OVERDRAWN), 0.0)
        return Share(self, size)

    def charge(self, size: int) -> None:
        """Hold so many bytes more, or less."""
        with self._lock:
            self.held += size
            if size < 0:
                self._serve()

    def _wait(self, claim: _Claim, deadline: Deadline, late: Exception) -> None:
        while True:
            self._let_go_for(claim)
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

    def _let_go_for(self, claim: _Claim) -> None:
        with self._lock:
            needed = self.held + claim.size - self.total if self._claims and self._claims[0] is claim else 0
        self._let_go(needed)

    def _serve(self) -> None:
        """Give those their shares who are next; called with the lock."""
        while self._claims and self.held + self._claims[0].size <= self.total:
            claim = self._claims.popleft()
            self.held += claim.size
            claim.gate.open()

    def _let_go(self, size: int, patience_seconds: float | None = None) -> None:
        """Stop waiting for clients until so many bytes are free: for those who have had their time."""
        patience = PATIENCE_SECONDS if patience_seconds is None else patience_seconds
        for share, (since, stop) in list(self.slow.items()):
            if size <= 0 or time.monotonic() - since < patience:
                return
            del self.slow[share]
            size -= share.size
            share.release()  # before the answer does: whoever looks next must not let others go for the same bytes
            stop()
