"""Keeps the tables small: folds the counts of orders every second, and deletes in small bites what is past its time.

Saga ids, history, dead letters and audit lines are kept for ever. The hash of a command is kept longer than Kafka can
keep its record: were it forgotten before, a reset offset would do the command again.
"""

import logging
import threading
from collections.abc import Callable

from app.models.database import Pool, Statement
from app.models.housekeeping import FOLD_COUNTS, ONE_AT_A_TIME, PRUNE
from app.services.metrics import PRUNED
from app.services.supervisor import Beat
from app.utils.deadline import Deadline

log = logging.getLogger(__name__)

FOLD_SECONDS = 1.0
FOLD_LIMIT = 20_000
PRUNE_SECONDS = 300.0
PRUNE_LIMIT = 1000
BREATH_SECONDS = 0.05  # between two bites, for those who write
STEP_SECONDS = 10.0

Ages = Callable[[], dict[str, float | None]]


class Housekeeping:
    """The work of one thread. However many processes have one, one at a time does something."""

    def __init__(self, pool: Pool, ages: Ages) -> None:
        """`ages`: seconds after which rows of a table go, None where none may; asked before each pruning."""
        self._pool = pool
        self._ages = ages
        self._next_pruning = Deadline(PRUNE_SECONDS)

    def run(self, stop: threading.Event, beat: Beat) -> None:
        """Keep house until `stop`. Raises DatabaseTrouble, and then nothing is lost."""
        while not stop.wait(FOLD_SECONDS):
            beat()
            self.fold(stop, beat)
            if self._next_pruning.passed:
                self.prune(stop, beat)
                self._next_pruning = Deadline(PRUNE_SECONDS)

    def fold(self, stop: threading.Event, beat: Beat) -> int:
        """Fold the counts until few rows are left; return how many were folded."""
        return self._in_bites(FOLD_COUNTS, (), FOLD_LIMIT, stop, beat)

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
            with self._pool.transaction(Deadline(STEP_SECONDS)) as session:
                ours = session.execute(ONE_AT_A_TIME)[0][0]
                done = session.execute(statement, (*parameters, limit))[0][0] if ours else 0
            total += done
            beat()
            if done < limit or stop.wait(BREATH_SECONDS):
                return total
