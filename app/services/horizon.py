"""Rings for what keeps dead rows from being removed: a forgotten session, a dump, a replica, a slot.

The relay and lists do not walk over such rows (database/floor.py), but the tables grow, and a new leader walks once.
"""

from app.database.pool import Pool
from app.database.snapshots import HeldSnapshots
from app.utils.alarms import Alarms

ALARM = "held_snapshot"
HELD_SECONDS = 60.0  # before anybody hears of a snapshot that does no harm yet
FORGOTTEN_SECONDS = 2.5  # a session that is idle for so long is forgotten: a batch, a report or a VACUUM is never idle
HARMFUL_SECONDS = 4.0  # some looks: a shorter snapshot is another one at the next look
MANY = 10_000  # dead rows of outbox and deltas; between two vacuums there are some thousands
MOVED_ON = 1000  # transactions since then: a replica or slot has no time, and stands still where nothing happens


class Horizon:
    """Rings for one that is held for too long."""

    def __init__(self, pool: Pool, alarms: Alarms) -> None:
        self._snapshots = HeldSnapshots(pool)
        self._alarms = alarms

    def look(self) -> int:
        """Ring for the oldest snapshot that is held for too long, or end the alarm; return how many there are.

        Raises as Pool.run does.
        """
        found = self._snapshots.look()
        for one in found:
            is_long = one.held >= HELD_SECONDS and one.age >= MOVED_ON
            if one.seconds is not None:
                is_long = one.seconds >= HELD_SECONDS
            if is_long or one.idle >= FORGOTTEN_SECONDS or (one.dead >= MANY and one.held >= HARMFUL_SECONDS):
                self._ring(one.holder, one.began or one.seen, one.remedy)
                return len(found)
        self._alarms.clear(ALARM)
        return len(found)

    def _ring(self, holder: str, since: str, remedy: str) -> None:
        named = holder[0].upper() + holder[1:]
        self._alarms.ring(
            ALARM,
            f"{named} holds a snapshot since {since} UTC: what was deleted since cannot be removed from the tables. "
            f"If nobody needs it: {remedy}",
        )
