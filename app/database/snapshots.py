"""The snapshots of the database that are held, and since when: they keep dead rows in the tables."""

import time
from dataclasses import dataclass
from datetime import UTC, datetime

from app.database.pool import Pool
from app.database.retention import HORIZON
from app.utils.deadline import Deadline

STEP_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Held:
    """One snapshot. `held`: seconds since the first look that found it; `age`: transactions since it was taken.

    `began` and `seconds` are None where PostgreSQL does not tell: of a replica, a slot, another user's session.
    """

    holder: str
    remedy: str
    seen: str
    held: float
    began: str | None
    seconds: float | None
    idle: float
    age: int
    dead: int


class HeldSnapshots:
    """The snapshots that are held, as one process saw them look by look."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._first: dict[tuple[str, str], tuple[float, str]] = {}  # first look, by holder and oldest transaction

    def look(self) -> list[Held]:
        """Return the oldest ones, the oldest first. Raises as Pool.run does."""
        rows = self._pool.run(HORIZON, (), Deadline(STEP_SECONDS))
        this_look, before = (time.monotonic(), f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S}"), self._first
        self._first = {(row[0], row[2]): before.get((row[0], row[2]), this_look) for row in rows}
        found = []
        for holder, remedy, xmin, *figures in rows:
            first_look, seen = self._first[holder, xmin]
            found.append(Held(holder, remedy, seen, this_look[0] - first_look, *figures))
        return found

    def oldest_seconds(self) -> float:
        """Look, and return for how long the oldest one has been held, 0 where none is. Raises as `look`."""
        ages = (one.held if one.seconds is None else one.seconds for one in self.look())
        return max(ages, default=0.0)
