"""Rings for what keeps dead rows from being removed: a forgotten session, a dump, a replica, a slot.

The relay and lists do not walk over such rows (database/floor.py), but the tables grow, and a new leader walks once.
"""

from dataclasses import dataclass
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


@dataclass(frozen=True, slots=True)
class _Held:
    """Since when we see what a session, slot or prepared transaction holds."""

    seen: str
    harmful: Deadline
    long: Deadline

    @classmethod
    def from_now(cls) -> "_Held":
        return cls(f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S}", Deadline(HARMFUL_SECONDS), Deadline(HELD_SECONDS))


class Horizon:
    """The snapshots that are held, as one process saw them look by look."""

    def __init__(self, pool: Pool, alarms: Alarms) -> None:
        self._pool = pool
        self._alarms = alarms
        self._held: dict[tuple[str, str], _Held] = {}  # by holder and oldest transaction

    def look(self) -> int:
        """Ring for the oldest snapshot that is held for too long, or end the alarm; return how many there are.

        Raises as Pool.run does.
        """
        rows = self._pool.run(HORIZON, (), Deadline(STEP_SECONDS))
        before = self._held
        self._held = {(row[0], row[2]): before.get((row[0], row[2])) or _Held.from_now() for row in rows}
        for holder, remedy, xmin, began, seconds, idle, age, dead in rows:
            held = self._held[holder, xmin]
            is_long = held.long.passed and age >= MOVED_ON if seconds is None else seconds >= HELD_SECONDS
            if held.harmful.passed and (is_long or idle >= FORGOTTEN_SECONDS or dead >= MANY):
                self._ring(holder, began or held.seen, remedy)
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
