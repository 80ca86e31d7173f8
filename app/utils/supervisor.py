"""Threads that do not die quietly: each is restarted with back-off, and has a heartbeat that /readyz shows."""

import logging
import random
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from app.utils.logging import Repeats

log = logging.getLogger(__name__)

FIRST_BACK_OFF_SECONDS = 0.2
LONGEST_BACK_OFF_SECONDS = 2.0
STEADY_SECONDS = 30.0  # a run that lasted so long starts the back-off anew
FAILURES_REMEMBERED = 10
STALE_SECONDS = 30.0  # a thread whose last heartbeat is older stands still

Beat = Callable[[], None]
Work = Callable[[threading.Event, Beat], None]


class SupervisedThread:
    """Runs `work(stop, beat)` until it is stopped, again after it returned or raised.

    `work` calls `beat` at least every few seconds and returns soon after `stop` is set.
    """

    def __init__(self, name: str, work: Work) -> None:
        self.name = name
        self._work = work
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name)
        self._last_beat: float | None = None
        self._failed_at: deque[float] = deque(maxlen=FAILURES_REMEMBERED)
        self._repeats = Repeats()
        self.restarts = 0
        self.last_error: str | None = None

    def start(self) -> None:
        self._thread.start()

    def ask_to_stop(self) -> None:
        """Set the stop flag; returns at once."""
        self._stop.set()

    def join(self, seconds: float) -> bool:
        """Wait for the end of the thread; false when it did not come in time."""
        self._thread.join(seconds)
        return not self._thread.is_alive()

    @property
    def seconds_since_beat(self) -> float | None:
        """Age of the last heartbeat in seconds, None before the first."""
        return None if self._last_beat is None else time.monotonic() - self._last_beat

    def part(self) -> dict[str, Any]:
        """Return what `/readyz` shows of the thread."""
        age = self.seconds_since_beat
        return {
            "ok": age is not None and age < STALE_SECONDS,
            "seconds_since_beat": None if age is None else round(age, 1),
            "restarts": self.restarts,
            "last_error": self.last_error,
        }

    def failures_within(self, seconds: float) -> int:
        """Return how often the work failed in the last seconds, FAILURES_REMEMBERED at most."""
        since = time.monotonic() - seconds
        return sum(at >= since for at in tuple(self._failed_at))

    def _beat(self) -> None:
        self._last_beat = time.monotonic()

    def _run(self) -> None:
        back_off = FIRST_BACK_OFF_SECONDS
        while not self._stop.is_set():
            started = time.monotonic()
            try:
                self._beat()
                self._work(self._stop, self._beat)
            except Exception as error:  # of any kind: the thread must come back
                self.restarts += 1
                self._failed_at.append(time.monotonic())
                self.last_error = f"{type(error).__name__}: {error}"[:200]
                self._repeats.say(log, logging.WARNING, f"{self.name} failed, starts again: {self.last_error}")
                log.debug("%s failed", self.name, exc_info=True)
            if time.monotonic() - started > STEADY_SECONDS:
                back_off = FIRST_BACK_OFF_SECONDS
            self._stop.wait(back_off * random.uniform(0.8, 1.2))  # noqa: S311 - spreads what starts again
            back_off = min(back_off * 2, LONGEST_BACK_OFF_SECONDS)
