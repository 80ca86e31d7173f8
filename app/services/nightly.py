"""The consistency check once a day, by the clock of the process that notices first."""

from collections.abc import Callable
from datetime import UTC, datetime, time, timedelta

from app.database.jobs import JobTable
from app.models.jobs import CHECK, DEADLINE_SECONDS

WHO = "the service"
REASON = "each night (CHECK_AT)"
INPUT = '{"late_seconds": 60, "deadline_seconds": 900}'


class Nightly:
    """Starts the check when `at` passes. A process that starts later leaves it for the next day: a restart in the
    middle of the day is no reason to read all tables."""

    def __init__(self, at: str, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        """`at`: the time of the day in UTC, HH:MM; empty for never."""
        self._at = time.fromisoformat(at) if at else None
        self._now = now
        self._next = None if self._at is None else _next(self._at, now())

    def start_if_due(self, table: JobTable) -> None:
        """Start the check if its time has come and no other process has done so. Raises DatabaseError."""
        now = self._now()
        if self._at is None or self._next is None or now < self._next:
            return
        table.start_once(CHECK, WHO, REASON, INPUT, f"{CHECK} {self._next:%Y-%m-%d %H:%M}", DEADLINE_SECONDS)
        self._next = _next(self._at, now)


def _next(at: time, now: datetime) -> datetime:
    today = datetime.combine(now.date(), at, UTC)
    return today if today > now else today + timedelta(days=1)
