"""Keeps the tables small: folds the counts of orders every second, and deletes in small bites what is past its time.

Saga ids, history and audit lines are kept for ever. The hash of a command is kept longer than Kafka can
keep its record: were it forgotten before, a reset offset would do the command again.

What fails keeps nothing else from being done, and is tried again. An alarm by the name of its statement rings until it
works again: at once for what has its turn every few minutes, and is then tried sooner; else when it has failed for a
while.
"""

import logging
import threading
import time
from collections.abc import Callable

from app.database.pool import Pool
from app.database.retention import (
    ARE_PLACED,
    FOLD_COUNTS,
    FORGET_PLACES,
    GIVE_TIMES,
    LONG,
    MARK_STATUSES,
    ONE_AT_A_TIME,
    PLACE_SECONDS,
    PLACE_STATUSES,
    PRUNE,
)
from app.database.statement import Statement
from app.models.errors import DatabaseAway, DatabaseError
from app.services.delta_floor import DeltaFloor
from app.services.horizon import Horizon
from app.utils.alarms import Alarms
from app.utils.deadline import Deadline
from app.utils.metrics import PRUNED
from app.utils.supervisor import Beat

log = logging.getLogger(__name__)

FOLD_SECONDS = 1.0
FOLD_LIMIT = 20_000
WATCH_SECONDS = 2.0  # between two looks at who holds a snapshot
PRUNE_SECONDS = 300.0
PRUNE_LIMIT = 1000
BREATH_SECONDS = 0.05  # between two bites, for those who write
STEP_SECONDS = 10.0
FAILING_SECONDS = 60.0  # before anybody hears of it: what passes by itself is over by then
RETRY_SECONDS = 20.0  # of what is done seldom, while its alarm rings
PAUSES = 20  # the counting of places rests so many times as long as a try took: meanwhile counts are folded
SELDOM = {GIVE_TIMES.name, PLACE_STATUSES.name, *(statement.name for statement in PRUNE.values())}

Ages = Callable[[], dict[str, float | None]]


class Housekeeping:
    """The work of one thread. However many processes have one, one at a time does something."""

    def __init__(self, pool: Pool, ages: Ages, alarms: Alarms) -> None:
        """`ages`: seconds after which rows of a table go, None where none may; asked before each pruning."""
        self._pool = pool
        self._ages = ages
        self._alarms = alarms
        self._failing: dict[str, Deadline] = {}  # by statement: when its failing becomes an alarm
        self._ringing: dict[str, str] = {}
        self._next_pruning = Deadline(PRUNE_SECONDS)
        self._placed = False
        self._next_placing = Deadline(0)
        self._floor = DeltaFloor(pool)
        self._horizon = Horizon(pool, alarms)
        self._next_watch = Deadline(WATCH_SECONDS)

    def run(self, stop: threading.Event, beat: Beat) -> None:
        """Keep house until `stop`. Raises DatabaseAway, and then nothing is lost."""
        self.give_times(stop, beat)
        self._retry_soon()
        self._watched("delta_floor", self._floor.begin)
        while not stop.wait(FOLD_SECONDS):
            beat()
            self.fold(stop, beat)
            if not self._placed and self._next_placing.passed:
                self.place_statuses()
            if self._next_watch.passed:
                self._watched("horizon", self._horizon.look)
                self._next_watch = Deadline(WATCH_SECONDS)
            if self._next_pruning.passed:
                self.prune(stop, beat)
                self.give_times(stop, beat)
                self._next_pruning = Deadline(PRUNE_SECONDS)
                self._retry_soon()
            for name, sentence in self._ringing.items():  # an alarm that nobody renews is over
                self._alarms.ring(name, sentence)

    def fold(self, stop: threading.Event, beat: Beat) -> int:
        """Fold the counts until few rows are left; return how many were folded."""
        self._watched("delta_floor", self._floor.step)
        folded = self._in_bites(FOLD_COUNTS, (), FOLD_LIMIT, stop, beat)
        if folded:
            self._watched("delta_floor", self._floor.step)
        return folded

    def give_times(self, stop: threading.Event, beat: Beat) -> int:
        """Give the orders that were taken over without a time of creation one; return how many were given one."""
        given = self._in_bites(GIVE_TIMES, (), PRUNE_LIMIT, stop, beat)
        if given:
            log.info("%s orders had no time of creation and were given one", given)
        return given

    def place_statuses(self) -> None:
        """Count the minutes of each status where the migration left that to us. Nobody who writes waits for it.

        Nobody folds meanwhile: it takes PLACE_SECONDS at the longest, and one that failed rests for many times that.
        """

        def place() -> int | None:
            with self._pool.transaction(Deadline(PLACE_SECONDS)) as session:
                if not session.execute(ONE_AT_A_TIME)[0][0]:
                    return None
                if session.execute(ARE_PLACED):
                    return 0
                session.execute(LONG)
                session.execute(FORGET_PLACES)
                session.execute(MARK_STATUSES)
                return len(session.execute(PLACE_STATUSES))

        began = time.monotonic()
        done = self._watched(PLACE_STATUSES.name, place)
        self._placed = done is not None
        if PLACE_STATUSES.name in self._failing:
            self._next_placing = Deadline(max(RETRY_SECONDS, PAUSES * (time.monotonic() - began)))
        if done:
            log.info("the minutes of each status are counted: %s rows", done)

    def _retry_soon(self) -> None:
        if self._ringing.keys() & SELDOM:
            self._next_pruning = Deadline(RETRY_SECONDS)

    def prune(self, stop: threading.Event, beat: Beat) -> dict[str, int]:
        """Delete what is past its time; return how many rows of each table."""
        gone = {}
        for table, seconds in self._ages().items():
            if seconds is not None:
                gone[table] = self._in_bites(PRUNE[table], (int(seconds),), PRUNE_LIMIT, stop, beat)
                PRUNED.labels(table).inc(gone[table])
        if any(gone.values()):
            log.info("pruned %s", ", ".join(f"{count} of {table}" for table, count in gone.items()))
        return gone

    def _in_bites(
        self, statement: Statement, parameters: tuple[int, ...], limit: int, stop: threading.Event, beat: Beat
    ) -> int:
        total = 0
        while True:
            done = self._bite(statement, (*parameters, limit))
            total += done
            beat()
            if done < limit or stop.wait(BREATH_SECONDS):
                return total

    def _bite(self, statement: Statement, parameters: tuple[int, ...]) -> int:
        """Return how many rows the statement took: none where another process is at work, or where it failed."""

        def take() -> int | None:
            with self._pool.transaction(Deadline(STEP_SECONDS)) as session:
                if not session.execute(ONE_AT_A_TIME)[0][0]:
                    return None
                done: int = session.execute(statement, parameters)[0][0]
                return done

        return self._watched(statement.name, take) or 0

    def _watched(self, name: str, work: Callable[[], int | None]) -> int | None:
        """Return what the work returns, None where it failed: an alarm of that name rings, see above.

        Work that returns None was not tried, and says nothing about the alarm.
        """
        try:
            done = work()
        except DatabaseAway:
            self._failing.clear()  # another trouble, with signs of its own
            raise
        except DatabaseError as error:
            self._failed(name, error)
            return None
        if done is not None:
            self._failing.pop(name, None)
            self._ringing.pop(name, None)
            self._alarms.clear(name)
        return done

    def _failed(self, name: str, error: Exception) -> None:
        reason = str(error).partition("\n")[0]
        sentence = f"Housekeeping fails: {reason}"
        if name not in self._failing:
            log.warning("%s: %s", name, sentence)
        patience = 0 if name in SELDOM else FAILING_SECONDS
        if self._failing.setdefault(name, Deadline(patience)).passed:
            self._ringing[name] = sentence
            self._alarms.ring(name, sentence)
