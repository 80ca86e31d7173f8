"""A floor under the rows of a table that is emptied all the time: below it no row is left, nor will one ever come.

A snapshot held elsewhere (a dump, a forgotten session, a replica) keeps dead rows, and who looks for the oldest row
walks over all of them. Whoever begins at the floor does not. It is proved as CREATE INDEX CONCURRENTLY proves that
nobody is left who could write what it has not seen:

1. An id is drawn: one that was seen, or the sequence's last. Every id below it has been drawn too (the identity caches
   none), though its transaction may still be open, with or without a number of its own.
2. Then the writers are listed: whoever inserts takes the table's lock before it draws, and has it until its end.
3. When all of these have ended, no id up to the one of step 1 can come any more. A look that begins after that shows
   the oldest that did come: the floor is below it.

`pg_snapshot_xmin` proves less: the very snapshot that keeps the rows holds it back.
"""

from collections.abc import Collection

Writer = tuple[str, bool]
"""A transaction that may insert into the table: its name, and whether it is a prepared one."""


def writers_of(table: str) -> str:
    """Return the query for the writers of the table; everybody may ask, whoever they are."""
    return (
        "SELECT virtualtransaction, pid IS NULL FROM pg_locks WHERE locktype = 'relation' AND granted "
        "AND mode = 'RowExclusiveLock' AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) "
        f"AND relation = '{table}'::regclass"
    )


def last_id_of(table: str) -> str:
    """Return the query for the last id that was drawn; NULL before the first, and for who may not ask the sequence."""
    sequence = f"pg_get_serial_sequence('{table}', 'id')"
    return (
        f"SELECT CASE WHEN has_sequence_privilege({sequence}, 'SELECT, USAGE') "
        f"THEN pg_sequence_last_value({sequence}::regclass) END"
    )


# Found from the newest backwards, so that those that a held snapshot keeps are not walked over. The end that nobody
# reaches has the planner expect few rows, and take the index, where it knows nothing of the table.
ABOVE_DELTA_FLOOR = "id > (SELECT coalesce(max(id), 0) FROM order_count_floors) AND id <= 9223372036854775807"
"""The condition for all rows of `order_count_deltas` that there are in the snapshot of the query."""


class Floor:
    """The floor as one reader has proved it: `look`, then read the rows above `id`, then `rise`."""

    def __init__(self) -> None:
        self._begin_anew()

    def _begin_anew(self) -> None:
        self.id = 0
        self._proved = 0
        self._drawn = 0  # the highest id that is known to be drawn
        self._drawn_then = 0  # is proved once those who wrote then have ended
        self._writers_then: frozenset[str] = frozenset()

    @property
    def settled(self) -> bool:
        """Whether it has risen to all that is known to be drawn."""
        return self._drawn <= self.id

    def look(self, drawn: int | None, writers: Collection[Writer]) -> None:
        """`drawn`: an id that was drawn before the writers were listed, None where none is known."""
        if drawn is not None and drawn < self.id:  # somebody set the sequence back
            self._begin_anew()
        self._drawn = max(self._drawn, drawn or 0)
        names = frozenset(name for name, _ in writers)
        # A transaction that is prepared goes on under another name: it may be one of then.
        if not self._writers_then & names and not any(prepared for _, prepared in writers):
            self._proved = self._drawn_then if names else self._drawn
            self._drawn_then, self._writers_then = self._drawn, names

    def rise(self, oldest: int | None) -> None:
        """`oldest`: the first row above the floor as a look that began after `look` shows it, None where none is."""
        self.id = max(self.id, self._proved if oldest is None else min(self._proved, oldest - 1))
