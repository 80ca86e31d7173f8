"""A floor under the rows of a table that is emptied all the time: below it no row is left, nor will one ever come.

While somebody holds a snapshot (a dump, a forgotten session, a replica), dead rows stay, and a look for the oldest row
walks over all of them. A look that begins at the floor does not. The floor is proved as CREATE INDEX CONCURRENTLY
proves that no transaction is left which could write what the index has not seen:

1. Take an id that was drawn: one that was seen, or the sequence's last. Every lower id has been drawn too, because the
   identity column caches none; its transaction may still be open.
2. Then list the writers: a transaction locks the table before it draws an id, and holds the lock until its end.
3. Once all of these have ended, no id up to the one of step 1 can come any more. A look that begins after that shows
   the oldest row that did come: the floor is below it.

`pg_snapshot_xmin` proves less: the very snapshot that keeps the dead rows holds it back.
"""

from collections.abc import Collection
from typing import Any

from app.database.pool import Pool
from app.database.statement import Statement
from app.utils.deadline import Deadline

RISE = 1000  # a delta floor so much higher is worth a row
STEP_SECONDS = 10.0


def writers_of(table: str) -> str:
    """Return the query for the transactions that may insert into the table: the name of each, and whether it is a
    prepared one. Every user may run it."""
    return (
        "SELECT virtualtransaction, pid IS NULL FROM pg_locks WHERE locktype = 'relation' AND granted "
        "AND mode = 'RowExclusiveLock' AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) "
        f"AND relation = '{table}'::regclass"
    )


def last_id_of(table: str) -> str:
    """Return the query for the last id that was drawn: NULL before the first, and for a user without that right."""
    sequence = f"pg_get_serial_sequence('{table}', 'id')"
    return (
        f"SELECT CASE WHEN has_sequence_privilege({sequence}, 'SELECT, USAGE') "
        f"THEN pg_sequence_last_value({sequence}::regclass) END"
    )


# The newest stored floor is read backwards, so that dead rows that a held snapshot keeps are not walked over. The upper
# bound, which no id reaches, makes the planner expect few rows and take the index on a table that was never analyzed.
ABOVE_DELTA_FLOOR = "id > (SELECT coalesce(max(id), 0) FROM order_count_floors) AND id <= 9223372036854775807"
"""The condition for all rows of `order_count_deltas` that there are in the snapshot of the query."""


class Floor:
    """The floor as one reader has proved it. In each round: `look`, then read the rows above `id`, then `rise`."""

    def __init__(self) -> None:
        self._begin_anew()

    def _begin_anew(self) -> None:
        self.id = 0
        self._proved = 0
        self._drawn = 0  # the highest id that is known to be drawn
        self._drawn_then = 0  # is proved once the writers of then have ended
        self._writers_then: frozenset[str] = frozenset()

    @property
    def settled(self) -> bool:
        """Whether it has risen to the highest id that is known to be drawn."""
        return self._drawn <= self.id

    def look(self, drawn: int | None, writers: Collection[tuple[Any, ...]]) -> None:
        """`drawn`: an id that was drawn before the writers were listed, None where none is known; `writers`: rows of
        the query `writers_of`."""
        if drawn is not None and drawn < self.id:  # a person set the sequence back
            self._begin_anew()
        self._drawn = max(self._drawn, drawn or 0)
        names = frozenset(name for name, _ in writers)
        # A prepared transaction has another name than before: it may be a writer of then.
        if not self._writers_then & names and not any(prepared for _, prepared in writers):
            self._proved = self._drawn_then if names else self._drawn
            self._drawn_then, self._writers_then = self._drawn, names

    def rise(self, oldest: int | None) -> None:
        """Rise below `oldest`: the first row above the floor, read after `look`, None where there is none."""
        self.id = max(self.id, self._proved if oldest is None else min(self._proved, oldest - 1))


_DELTA_IDS = Statement(
    "delta_ids",
    {},
    "SELECT (SELECT max(id) FROM order_count_floors), "
    f"(SELECT min(id) FROM order_count_deltas WHERE {ABOVE_DELTA_FLOOR}), "
    f"(SELECT max(id) FROM order_count_deltas WHERE {ABOVE_DELTA_FLOOR})",
)
_DELTA_WRITERS = Statement("delta_writers", {}, writers_of("order_count_deltas"))
# It is stored only where it is far above the last one: each leaves a dead row.
_RAISE_DELTA_FLOOR = Statement(
    "raise_delta_floor",
    {"floor": "bigint"},
    "WITH raised AS (INSERT INTO order_count_floors (id) VALUES ($floor) ON CONFLICT DO NOTHING) "
    "DELETE FROM order_count_floors WHERE id < $floor",
)
# Such rows come with a backup, or after a person set the sequence back.
_DROP_FALSE_FLOORS = Statement(
    "drop_false_floors",
    {},
    "DELETE FROM order_count_floors AS floors "
    "WHERE EXISTS (SELECT FROM order_count_deltas WHERE id <= floors.id) RETURNING 1",
)


class DeltaFloor:
    """The floor of `order_count_deltas`, above which lists read: they do not walk over what was folded.

    Any process may raise the stored floor: each proves its own, and the highest one is true for all. Methods block for
    STEP_SECONDS per statement, and raise as Pool.run.
    """

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._floor = Floor()
        self._stored = 0

    def begin(self) -> int:
        """Drop stored floors with rows below, which a restore may have brought. Return how many there were."""
        return len(self._run(_DROP_FALSE_FLOORS))

    def step(self) -> int:
        """Prove what can be proved now, and store it; return the floor. Ids that are drawn now have a later step."""
        stored, _, newest = self._ids()
        if stored < self._stored:  # another process dropped it
            self._floor = Floor()
        self._stored = stored
        if newest is None and self._floor.settled:
            return self._floor.id
        self._floor.look(newest, self._run(_DELTA_WRITERS))
        _, oldest, _ = self._ids()  # each statement sees what was committed before it
        self._floor.rise(oldest)
        if self._floor.id >= stored + RISE:
            self._run(_RAISE_DELTA_FLOOR, self._floor.id)
        return self._floor.id

    def _ids(self) -> tuple[int, int | None, int | None]:
        """Return the stored floor, and the lowest and the highest id above it."""
        stored, oldest, newest = self._run(_DELTA_IDS)[0]
        return stored or 0, oldest, newest

    def _run(self, statement: Statement, *parameters: int) -> list[tuple[Any, ...]]:
        return self._pool.run(statement, parameters, Deadline(STEP_SECONDS))
