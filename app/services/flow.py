"""What this process did, minute by minute, on its way to the table that all processes share (database/flow.py).

The figures are differences of the process's metrics. The thread that keeps the alarms looks every second and stores a
minute when it is over. While the database is away the last minutes wait in memory.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime
from typing import Any

from app.database.flow import FlowTable
from app.models.errors import DatabaseError
from app.models.flow import Figures, Lead, Waiting, Work
from app.services.counted import counted
from app.utils.build import build
from app.utils.deadline import Deadline
from app.utils.logging import Repeats

log = logging.getLogger(__name__)

MINUTE = 60
MOST_KEPT = 60  # minutes that wait for the database
RETRY_SECONDS = 10.0  # the thread has the alarms to carry, too
SHORT_COMMIT = 12


class FlowKeeper:
    """The figures of one process. `note_waiting` may be called from any thread, all else from one."""

    def __init__(
        self,
        table: FlowTable,
        leads: Callable[[], Collection[str]] = tuple,
        *,
        count: Callable[[], Work] = counted,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`leads`: the lanes that this process relays now."""
        self._table = table
        self._leads = leads
        self._count = count
        self._clock = clock
        self._began = self._minute_began = clock()
        self._before = count()
        self._lock = threading.Lock()
        self._waiting = Waiting()
        self._led: frozenset[str] = frozenset()
        self._new_leads: list[Lead] = []
        self._due: deque[tuple[float, Figures]] = deque(maxlen=MOST_KEPT)  # each with the middle of its time
        self._next_try = Deadline(0)
        self._repeats = Repeats()

    def note_waiting(self, seen: Mapping[str, Any]) -> None:
        """Note what the watch has just seen to wait; of a minute the worst is stored."""
        found = _waiting(seen)
        with self._lock:
            self._waiting = self._waiting.worst(found)

    def look(self) -> None:
        """End the minute if it is over. Call about once a second; does not touch the database."""
        now = self._clock()
        self._note_leads(now)
        if now // MINUTE != self._minute_began // MINUTE:
            self._end_minute(now)

    def store(self) -> None:
        """Store the minutes that are over, usually none or one: one statement each. Blocks for some seconds at most.

        What cannot be stored is tried again after RETRY_SECONDS, and a line of the log says why.
        """
        if not self._next_try.passed:
            return
        try:
            while self._due:
                middle, figures = self._due[0]
                self._table.keep(figures, max(self._clock() - middle, 0.0))
                self._due.popleft()
        except DatabaseError as error:
            self._next_try = Deadline(RETRY_SECONDS)
            self._repeats.say(log, logging.WARNING, f"the figures of {len(self._due)} minutes wait: {error.reason}")

    def close(self) -> None:
        """End the minute now, because the process ends."""
        self._next_try = Deadline(0)
        self._end_minute(self._clock())

    def _note_leads(self, now: float) -> None:
        led = frozenset(self._leads())
        self._new_leads += [Lead(lane, _iso(now)) for lane in sorted(led - self._led)]
        self._led = led

    def _end_minute(self, now: float) -> None:
        done = self._count()
        with self._lock:
            waiting, self._waiting = self._waiting, Waiting()
        work, self._before = done.since(self._before), done
        figures = Figures(running(), _iso(self._began), work, waiting, self._new_leads)
        self._due.append(((self._minute_began + now) / 2, figures))
        self._minute_began, self._new_leads = now, []


def running() -> str:
    """Return version and commit of the code that runs, in one line."""
    known = build()
    return f"{known['version']} {known['commit'][:SHORT_COMMIT]}"


def _waiting(seen: Mapping[str, Any]) -> Waiting:
    known = [queue for queue in (seen.get("commands") or {}).values() if queue["lag"] is not None]
    events = seen.get("lanes", {}).get("events", {})
    return Waiting(
        sum(queue["lag"] for queue in known) if known else None,
        max((queue["oldest_seconds"] for queue in known), default=None),
        events.get("depth"),
        events.get("oldest_seconds"),
    )


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
