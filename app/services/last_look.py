"""What the watch of the service saw last, for every process: whichever of them watches leaves it in a row."""

from app.database.pool import Pool
from app.database.watched import CALL_SECONDS, Seen, read_seen
from app.models.errors import DatabaseTrouble
from app.utils.alarms import Alarms
from app.utils.deadline import Deadline
from app.utils.limits import WATCH_STALE_SECONDS

START_SECONDS = 60.0  # in which some process should have begun to watch


class LastLook:
    """Reads the row of the watch."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._start = Deadline(START_SECONDS)

    def seen(self, deadline: Deadline) -> Seen | None:
        """Return what the watch saw, None where that is older than WATCH_STALE_SECONDS or the database does not say.

        Blocks until `deadline` at the longest.
        """
        try:
            return self._read(deadline)
        except DatabaseTrouble:
            return None

    def ring_if_missing(self, alarms: Alarms) -> None:
        """Ring where no process watches, once START_SECONDS have passed. Raises DatabaseTrouble."""
        if self._read(Deadline(CALL_SECONDS)) is not None:
            alarms.clear("watch_missing")
        elif self._start.passed:
            alarms.ring("watch_missing", "No process of the service watches: none with ROLES=all or worker runs")

    def _read(self, deadline: Deadline) -> Seen | None:
        found = read_seen(self._pool, deadline)
        return found[0] if found is not None and found[1] < WATCH_STALE_SECONDS else None
