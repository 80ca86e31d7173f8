"""Keeps the tables small: folds the counts of orders every second, and deletes in small batches what is past its time.

Saga ids, history and audit lines are kept for ever. The hash of a command is kept longer than Kafka can keep its
record: without the hash, a reset offset would do the command again.

A piece of work that fails keeps no other from being done, and is tried again. An alarm by its name rings until it works
again: at once for work that has its turn every few minutes, and is then tried sooner; else when it has failed for
FAILING_SECONDS.
"""

import logging
import threading
import time
from collections.abc import Callable

from app.config.config import Settings
from app.database import retention as sql
from app.database.floor import DeltaFloor
from app.database.pool import Pool
from app.database.statement import Statement
from app.kafka.topics import retention_seconds
from app.models.errors import DatabaseAway, DatabaseError
from app.services.horizon import Horizon
from app.utils.alarms import Alarms
from app.utils.deadline import Deadline
from app.utils.logging import Repeats
from app.utils.metrics import PRUNED
from app.utils.supervisor import Beat

log = logging.getLogger(__name__)

FOLD_SECONDS = 1.0
FOLD_LIMIT = 20_000
HORIZON_SECONDS = 1.0  # between two looks at held snapshots
PRUNE_SECONDS = 300.0
PRUNE_LIMIT = 1000
BREATH_SECONDS = 0.05  # between two batches, for the callers' writes
STEP_SECONDS = 10.0
PAUSE_SECONDS = 1.0
FAILING_SECONDS = 60.0  # before anybody hears of it: what passes by itself is over by then
RETRY_SECONDS = 20.0  # of work that is done seldom, while its alarm rings
PAUSES = 20  # the counting of places rests so many times as long as an attempt took: counts are folded meanwhile
SELDOM = {sql.GIVE_TIMES.name, sql.PLACE_STATUSES.name, *(statement.name for statement in sql.PRUNE.values())}
HOUR, DAY = 3600.0, 86400.0


class Housekeeping:
    """The work of one thread. However many processes have one, one at a time does something."""

    def __init__(self, pool: Pool, ages: Callable[[], dict[str, float | None]], alarms: Alarms) -> None:
        """`ages`: seconds after which rows of a table go, None where none may; asked before each pruning."""
        self._pool = pool
        self._ages = ages
        self._alarms = alarms
        self._failing: dict[str, Deadline] = {}  # by piece of work: when its failing becomes an alarm
        self._ringing: dict[str, str] = {}
        self._next_pruning = Deadline(PRUNE_SECONDS)
        self._placed = False
        self._next_placing = Deadline(0)
        self._floor = DeltaFloor(pool)
        self._horizon = Horizon(pool, alarms)
        self._next_horizon = Deadline(HORIZON_SECONDS)
        self._repeats = Repeats()

    def run(self, stop: threading.Event, beat: Beat) -> None:
        """Keep house until `stop`, or until the database is away."""

        def step() -> None:
            beat()
            self._look_at_horizon()

        try:
            self.give_times(stop, step)
            self._retry_soon()
            self._attempt("delta_floor", self._floor.begin)
            while not stop.wait(FOLD_SECONDS):
                step()
                self.fold(stop, step)
                if not self._placed and self._next_placing.passed:
                    self.place_statuses()
                if self._next_pruning.passed:
                    self.prune(stop, step)
                    self.give_times(stop, step)
                    self._next_pruning = Deadline(PRUNE_SECONDS)
                    self._retry_soon()
                for name, sentence in self._ringing.items():  # an alarm that nobody renews is over
                    self._alarms.ring(name, sentence)
        except DatabaseAway as trouble:
            self._repeats.say(log, logging.INFO, f"housekeeping waits: {trouble}")
            stop.wait(PAUSE_SECONDS)

    def _look_at_horizon(self) -> None:
        """Look when it is time, also between two batches of other work: that may go on for minutes."""
        if self._next_horizon.passed:
            self._attempt("horizon", self._horizon.look)
            self._next_horizon = Deadline(HORIZON_SECONDS)

    def fold(self, stop: threading.Event, beat: Beat) -> int:
        """Fold the counts until few rows are left; return how many were folded."""
        self._attempt("delta_floor", self._floor.step)
        folded = self._run_batches(sql.FOLD_COUNTS, FOLD_LIMIT, stop, beat)
        if folded:
            self._attempt("delta_floor", self._floor.step)
        return folded

    def give_times(self, stop: threading.Event, beat: Beat) -> int:
        """Give a time of creation to the orders that were taken over without one; return how many were given one."""
        given = self._run_batches(sql.GIVE_TIMES, PRUNE_LIMIT, stop, beat)
        if given:
            log.info("%s orders had no time of creation and were given one", given)
        return given

    def place_statuses(self) -> None:
        """Count the minutes of each status where the migration left that to us. No write waits for it.

        No process folds meanwhile: it takes PLACE_SECONDS at the longest, and after a failure it rests for many times
        as long as it took.
        """

        def place() -> int | None:
            with self._pool.transaction(Deadline(sql.PLACE_SECONDS)) as session:
                if not session.execute(sql.ONE_AT_A_TIME)[0][0]:
                    return None
                if session.execute(sql.ARE_PLACED):
                    return 0
                session.execute(sql.LONG)
                session.execute(sql.FORGET_PLACES)
                session.execute(sql.MARK_STATUSES)
                return len(session.execute(sql.PLACE_STATUSES))

        began = time.monotonic()
        done = self._attempt(sql.PLACE_STATUSES.name, place)
        self._placed = done is not None
        if sql.PLACE_STATUSES.name in self._failing:
            self._next_placing = Deadline(max(RETRY_SECONDS, PAUSES * (time.monotonic() - began)))
        if done:
            log.info("the minutes of each status are counted: %s rows", done)

    def prune(self, stop: threading.Event, beat: Beat) -> dict[str, int]:
        """Delete what is past its time; return how many rows of each table."""
        gone = {}
        for table, seconds in self._ages().items():
            if seconds is not None:
                gone[table] = self._run_batches(sql.PRUNE[table], PRUNE_LIMIT, stop, beat, int(seconds))
                PRUNED.labels(table).inc(gone[table])
        if any(gone.values()):
            log.info("pruned %s", ", ".join(f"{count} of {table}" for table, count in gone.items()))
        return gone

    def _retry_soon(self) -> None:
        if self._ringing.keys() & SELDOM:
            self._next_pruning = Deadline(RETRY_SECONDS)

    def _run_batches(
        self, statement: Statement, limit: int, stop: threading.Event, beat: Beat, *parameters: int
    ) -> int:
        """Run the statement on `limit` rows at a time until it finds fewer; return how many rows it took.

        It takes none where another process is at work, or where it fails.
        """

        def take() -> int | None:
            with self._pool.transaction(Deadline(STEP_SECONDS)) as session:
                if not session.execute(sql.ONE_AT_A_TIME)[0][0]:
                    return None
                done: int = session.execute(statement, (*parameters, limit))[0][0]
                return done

        total = 0
        while True:
            done = self._attempt(statement.name, take) or 0
            total += done
            beat()
            if done < limit or stop.wait(BREATH_SECONDS):
                return total

    def _attempt(self, name: str, work: Callable[[], int | None]) -> int | None:
        """Return what the work returns, None where it failed: then an alarm of that name rings, sooner or later.

        Work that returns None was not tried, and says nothing about the alarm.
        """
        try:
            done = work()
        except DatabaseAway:
            self._failing.clear()  # another trouble, with signs of its own
            raise
        except DatabaseError as error:
            self._note_failure(name, error)
            return None
        if done is not None:
            self._failing.pop(name, None)
            self._ringing.pop(name, None)
            self._alarms.clear(name)
        return done

    def _note_failure(self, name: str, error: DatabaseError) -> None:
        sentence = f"Housekeeping fails: {error.reason}"
        if name not in self._failing:
            log.warning("%s: %s", name, sentence)
        patience = 0 if name in SELDOM else FAILING_SECONDS
        if self._failing.setdefault(name, Deadline(patience)).passed:
            self._ringing[name] = sentence
            self._alarms.ring(name, sentence)


def ages(settings: Settings) -> dict[str, float | None]:
    """Return after how many seconds rows of each table go, None where none may. Asks Kafka, for some seconds at most.

    A command is recognised for a day longer than its topic keeps it: for as long as it can come again.
    """
    retention = retention_seconds(settings, settings.commands_topic)
    redone = retention and max(retention + DAY, settings.command_identity_days * DAY)
    return {
        "idempotency_keys": settings.idempotency_key_hours * HOUR,
        "http_refusals": settings.http_refusal_hours * HOUR,
        "refused_accepts": settings.refused_accept_seconds + HOUR,
        "dead_letters": settings.dead_letter_days * DAY,
        "given_up_commands": settings.dead_letter_days * DAY,
        "jobs": settings.job_days * DAY,
        "command_identities": redone,
        "known_events": redone,
        "flow_minutes": DAY,
    }
