"""When something that waits is worth an alarm: a decision of the watch, without input and output."""

import time
from collections import deque

WAITING_SECONDS = 30.0
GROWING_SECONDS = 25.0  # what began between two looks has been seen for so long when its first waits for 30 s
LATELY_SECONDS = 8.0
STILL_SECONDS = 2.0  # less than between two looks: what has not moved between two looks stands


class Progress:
    """Whether the queue in one place moves. Call `look` once for each look of the watch."""

    def __init__(self) -> None:
        self._samples: deque[tuple[float, int, int]] = deque()  # when, what is first, how many

    def look(self, first: int | None, depth: int, age: float) -> bool:
        """Tell whether the first has waited too long: over WAITING_SECONDS, while the queue stands or does not shrink.

        A long queue that is worked off does not ring, however old its first is. Looks at younger queues count too, or a
        queue that only grows would ring twice as late; but the queue must have grown of late as well.
        """
        now = time.monotonic()
        if first is None:
            self._samples.clear()
            return False
        before, lately, long_ago = map(self._sample, (STILL_SECONDS, LATELY_SECONDS, GROWING_SECONDS))
        self._samples.append((now, first, depth))
        while len(self._samples) > 1 and now - self._samples[1][0] > GROWING_SECONDS:
            self._samples.popleft()
        stands = before is not None and before[1] == first
        grows = all(sample is not None and sample[2] <= depth for sample in (lately, long_ago))
        return age >= WAITING_SECONDS and (stands or grows)

    def _sample(self, seconds: float) -> tuple[float, int, int] | None:
        """Return the newest sample that is so old."""
        now = time.monotonic()
        return next((sample for sample in reversed(self._samples) if now - sample[0] >= seconds), None)
