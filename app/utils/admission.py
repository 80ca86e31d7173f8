"""Admission: how long the line for the database may get, and which kinds of requests are turned away first.

By Little's law a wait is as long as the line in front, divided by the rate at which calls are served. So the line may
hold what was served lately within WAIT_SECONDS, less what the event loop is late around a wait. This bound follows the
rate: a slow database gets a short line, a fast one a long line. Decision 23 has what was measured.

Only a line that lasts counts, as in CoDel: a burst after a quiet time is taken. A locked row holds up nobody else's
request, because who waits for a turn at an order stands in no line.
"""

import math
from collections.abc import Mapping
from enum import IntEnum
from types import MappingProxyType

WAIT_SECONDS = 0.2  # in the line; most requests wait once or twice, a change under a key up to three times
LEAST_WAIT_SECONDS = 0.05  # however late the loop is
PASSES = 2  # of the loop around each wait: a statement begins in one, and its answer is seen in another
LOOK_SECONDS = 0.05  # between two looks at the line
BURST = 256  # a line may hold so many, whatever the rate is, …
BURST_SECONDS = 1.0  # … until it has lasted so long
LEAST = 64  # a line may always hold so many: one group, or four for each connection
STANDING = 24  # so many at two looks, one after the other, are a line: a few always wait for the next group
SMOOTHING = 0.1  # the share of the newest look in rate and lateness: what is half a second old counts for a third


class Priority(IntEnum):
    """Kinds of requests; the first ones are turned away first."""

    LIST = 0
    READ = 1
    WRITE = 2
    REPEAT = 3


SHARES: Mapping[Priority, float] = MappingProxyType(
    {Priority.LIST: 0.6, Priority.READ: 0.8, Priority.WRITE: 1.0, Priority.REPEAT: 1.5}
)
"""How much of the bound a kind may fill: a line of writes leaves no room for reads, and some for repeats."""


class Admission:
    """Decides by what it saw at its looks. Time is an argument; no method blocks."""

    def __init__(self) -> None:
        self.most: float = BURST
        """How many the line may hold: of writes, of other kinds their share."""
        self._rate: float | None = None  # calls served a second while a line lasts, None before the first line
        self._looked_at = -math.inf
        self._waiting = 0  # at the last look
        self._late = 0.0
        self._line_since = math.inf

    def admits(self, priority: Priority, waiting: int) -> bool:
        """Tell whether a request of this kind may join `waiting` others."""
        return waiting < self.most * SHARES[priority]

    def look(self, now: float, *, waiting: int, served: int, late: float) -> None:
        """Set the bound. `served`: calls whose wait ended well since the last look; `late`: seconds by which the loop
        made this one late."""
        rate = served / max(now - self._looked_at, LOOK_SECONDS / 2)
        is_line = min(waiting, self._waiting) >= STANDING
        self._looked_at, self._waiting = now, waiting
        self._late += (late - self._late) * SMOOTHING  # one pause is no loop with too much to do
        if not is_line:
            self._line_since = math.inf
            self.most = max(self.most, BURST)
            return
        self._line_since = min(self._line_since, now)
        self._rate = rate if self._rate is None else self._rate + (rate - self._rate) * SMOOTHING
        least = LEAST if now - self._line_since > BURST_SECONDS else BURST
        self.most = max(self._rate * max(WAIT_SECONDS - self._late * PASSES, LEAST_WAIT_SECONDS), least)
