"""Rings for what keeps dead rows from being removed: a forgotten session, a dump, a replica, a slot.

The relay and lists do not walk over such rows (database/floor.py), but the tables grow, and a new leader walks once.
"""

import time
from datetime import UTC, datetime

from app.database.pool import Pool
from app.database.retention import HORIZON
from app.utils.alarms import Alarms
from app.utils.deadline import Deadline

ALARM = "held_snapshot"
HELD_SECONDS = 60.0  # before anybody hears of a snapshot that does no harm yet
FORGOTTEN_SECONDS = 8.0  # a session that is idle for so long is forgotten: a dump or a report is never idle
HARMFUL_SECONDS = 4.0  # two looks: a shorter snapshot is another one at the next look
MANY = 10_000  # dead rows of outbox and deltas; between two vacuums there are some thousands
MOVED_ON = 1000  # transactions since then: a replica or slot has no time, and stands still where nothing happens
STEP_SECONDS = 10.0


class Horizon:
    """The snapshots that are held, as one process saw them look by look."""

    def __init__(self, pool: Pool, alarms: Alarms) -> None:
        self._pool = pool
        self._alarms = alarms
        self._held: dict[tuple[str, str], tuple[float, str]] = {}  # first look, by holder and oldest transaction

    def look(self) -> int:
        """Ring for the oldest snapshot that is held for too long, or end the alarm; return how many there are.

        Raises as Pool.run does.
        """
        rows = self._pool.run(HORIZON, (), Deadline(STEP_SECONDS))
        this_look, before = (time.monotonic(), f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S}"), self._held
        self._held = {(row[0], row[2]): before.get((row[0], row[2]), this_look) for row in rows}
        for holder, remedy, xmin, began, seconds, idle, age, dead in rows:
            first_look, seen = self._held[holder, xmin]
            held = this_look[0] - first_look
            is_long = held >= HELD_SECONDS and age >= MOVED_ON if seconds is None else seconds >= HELD_SECONDS
            if held >= HARMFUL_SECONDS and (is_long or idle >= FORGOTTEN_SECONDS or dead >= MANY):
                self._ring(holder, began or seen, remedy)
                return len(rows)
        self._alarms.clear(ALARM)
        return len(rows)

    def _ring(self, holder: str, since: str, remedy: str) -> None:
        named = holder[0].upper() + holder[1:]
        self._alarms.ring(
            ALARM,
            f"{named} holds a snapshot since {since} UTC: what was deleted since cannot be removed from the tables. "
            f"If nobody needs it: {remedy}",
        )
