"""The floor under the deltas of the counts, above which lists read: they do not walk over what was folded.

Any process may raise it: each proves its own floor (database/floor.py), and the highest one is true for all.
"""

from typing import Any

from app.database.floor import Floor
from app.database.pool import Pool
from app.database.retention import DELTA_IDS, DELTA_WRITERS, DROP_FALSE_FLOORS, RAISE_DELTA_FLOOR
from app.database.statement import Statement
from app.utils.deadline import Deadline

RISE = 1000  # a floor so much higher is worth a row
STEP_SECONDS = 10.0


class DeltaFloor:
    """The floor that one process has proved. Methods block for STEP_SECONDS per statement, and raise as Pool.run."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._floor = Floor()
        self._stored = 0

    def begin(self) -> int:
        """Drop stored floors with rows below, which a restore may have brought. Return how many there were."""
        return len(self._run(DROP_FALSE_FLOORS))

    def step(self) -> int:
        """Prove what can be proved now, and store it; return the floor. Ids that are drawn now have a later step."""
        stored, _, newest = self._ids()
        if stored < self._stored:  # another process dropped it
            self._floor = Floor()
        self._stored = stored
        if newest is None and self._floor.settled:
            return self._floor.id
        self._floor.look(newest, [(name, prepared) for name, prepared in self._run(DELTA_WRITERS)])
        _, oldest, _ = self._ids()  # each statement sees what was committed before it
        self._floor.rise(oldest)
        if self._floor.id >= stored + RISE:
            self._run(RAISE_DELTA_FLOOR, self._floor.id)
        return self._floor.id

    def _ids(self) -> tuple[int, int | None, int | None]:
        """Return the stored floor, and the lowest and the highest id above it."""
        stored, oldest, newest = self._run(DELTA_IDS)[0]
        return stored or 0, oldest, newest

    def _run(self, statement: Statement, *parameters: int) -> list[tuple[Any, ...]]:
        return self._pool.run(statement, parameters, Deadline(STEP_SECONDS))
