"""What the watch asks of the database, and the row in which it leaves what it saw.

The row is a lease too: one process at a time watches, and another one takes over once that one has stopped.
"""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from app.database.floor import Floor, last_id_of, writers_of
from app.database.instances import LIVES, Life
from app.database.jobs import last_check
from app.database.lanes import ASIDE_RANGE
from app.database.pool import Pool
from app.database.snapshots import HeldSnapshots
from app.database.statement import Statement
from app.models.errors import DatabaseTrouble
from app.models.jobs import LastCheck
from app.utils.deadline import Deadline
from app.utils.limits import WATCH_LEASE_SECONDS, WATCH_STALE_SECONDS

CALL_SECONDS = 2.5
COUNTED = 1000  # rows of a lane that are counted: within a millisecond, however many more there are
WALK_SECONDS = 60.0
WALK_RESTS = 3000  # times what a walk over all dead rows took: 5 ms of the time between two scrapes

Seen = dict[str, Any]

HOLD = Statement(
    "hold_watch",
    {"holder": "text"},
    "INSERT INTO watch AS w (id, holder, held_until) "
    f"VALUES (1, $holder, now() + make_interval(secs => {WATCH_LEASE_SECONDS})) "
    "ON CONFLICT (id) DO UPDATE SET holder = excluded.holder, held_until = excluded.held_until "
    "WHERE w.holder = excluded.holder OR w.held_until < now() RETURNING 1",
)
LEAVE = Statement("leave_watch", {"holder": "text"}, "UPDATE watch SET held_until = now() WHERE holder = $holder")
TELL = Statement(
    "tell_watch",
    {"holder": "text", "seen": "text"},
    "UPDATE watch SET seen = $seen, seen_at = now() WHERE holder = $holder",
)
SEEN = Statement(
    "seen_by_watch",
    {},
    f"SELECT seen FROM watch WHERE seen IS NOT NULL AND seen_at > now() - make_interval(secs => {WATCH_STALE_SECONDS})",
)
STORED = Statement(
    "stored_offsets",
    {"topic": "text"},
    "SELECT partition, topic_id, next_offset FROM consumer_offsets WHERE topic = $topic",
)


@dataclass(frozen=True, slots=True)
class QueuedRows:
    """How many rows of a lane wait, and how old the oldest one is, in seconds."""

    oldest_id: int | None
    depth: int
    age: float


class LaneLook:
    """Looks at the rows of one table that wait. Use from one thread.

    Each look begins at a floor, as the relay's do, and so does not walk over dead rows that a held snapshot keeps. Only
    every WALK_SECONDS one begins at the first row, and less often where that takes long.
    """

    def __init__(self, table: str, condition: str = "") -> None:
        self._writers = Statement(f"writers_of_{table}", {}, writers_of(table))
        self._drawn = Statement(f"last_id_of_{table}", {}, last_id_of(table))
        rows = f"FROM {table} WHERE {condition}"
        self._oldest = Statement(
            f"oldest_of_{table}",
            {"id": "bigint"},
            f"SELECT id, extract(epoch FROM now() - created_at)::float8 {rows}id > $id ORDER BY id LIMIT 1",
        )
        self._few = Statement(
            f"few_of_{table}",
            {"id": "bigint"},
            f"SELECT count(*) FROM (SELECT {rows}id > $id ORDER BY id LIMIT {COUNTED + 1}) AS few",
        )
        # Rows that are set aside for their partition (lanes.py): their ids are below every floor. The first of each
        # partition has the age of all; how many there are beyond COUNTED, PostgreSQL's statistics know about.
        begin = f"-((-1 - firsts.id) / {ASIDE_RANGE}) * {ASIDE_RANGE}"  # of the next partition
        self._aside = Statement(
            f"aside_of_{table}",
            {},
            f"WITH RECURSIVE firsts AS ((SELECT id, created_at {rows}id < 0 ORDER BY id LIMIT 1) UNION ALL "
            "SELECT next.id, next.created_at FROM firsts, "
            f"LATERAL (SELECT id, created_at {rows}id < 0 AND id >= {begin} ORDER BY id LIMIT 1) AS next) "
            f"SELECT (SELECT count(*) FROM (SELECT {rows}id < 0 ORDER BY id LIMIT {COUNTED + 1}) AS few), "
            "min(id), extract(epoch FROM now() - min(created_at))::float8, "
            f"pg_stat_get_live_tuples('{table}'::regclass) FROM firsts",
        )
        self._newest = Statement(f"newest_of_{table}", {}, f"SELECT id {rows}true ORDER BY id DESC LIMIT 1")
        self._floor, self._walk = Floor(), Deadline(WALK_SECONDS)
        self._last_seen: int | None = None  # for users that may not ask the sequence

    def look(self, pool: Pool) -> QueuedRows:
        """Return what waits. Raises DatabaseError."""
        if not self._walk.passed:
            return self._look(pool, self._floor)
        began = time.monotonic()
        try:
            return self._look(pool, Floor())  # a person may have put a row back
        except DatabaseTrouble:  # too many dead rows, perhaps: above the floor there are few
            return self._look(pool, self._floor)
        finally:
            self._walk = Deadline(max(WALK_SECONDS, WALK_RESTS * (time.monotonic() - began)))

    def _look(self, pool: Pool, floor: Floor) -> QueuedRows:
        drawn = _run(pool, self._drawn)[0][0]
        floor.look(drawn or self._last_seen, _run(pool, self._writers))
        found = _run(pool, self._oldest, floor.id)
        floor.rise(found[0][0] if found else None)
        self._floor = floor
        self._last_seen = found[0][0] if found else self._last_seen
        ((aside, first, waited, all_rows),) = _run(pool, self._aside)
        oldest, age = found[0] if found else (None, 0.0)
        depth = 0 if oldest is None else self._depth(pool, oldest)
        if aside > COUNTED:
            aside = max(aside, all_rows - depth)
        return QueuedRows(first or oldest, depth + aside, max(age, waited or 0.0, 0.0))

    def _depth(self, pool: Pool, oldest: int) -> int:
        """Return how many rows wait from the oldest one on; beyond COUNTED told from the ids."""
        depth: int = _run(pool, self._few, oldest - 1)[0][0]
        if depth > COUNTED:
            newest = _run(pool, self._newest)
            depth = max(depth, (newest[0][0] if newest else oldest) - oldest + 1)
        return depth


class WatchTable:
    """The watch's side of the database. Each call blocks for a few seconds at the longest and raises DatabaseError."""

    def __init__(self, pool: Pool, holder: str) -> None:
        self._pool = pool
        self._holder = holder
        self._snapshots = HeldSnapshots(pool)
        self._lanes = {
            "events": LaneLook("outbox"),
            "dead_letters": LaneLook("dead_letters", "sent_at IS NULL AND refusal IS NULL AND "),
        }

    def acquire(self) -> bool:
        """Take or renew the lease; tell whether this process watches."""
        return bool(_run(self._pool, HOLD, self._holder))

    def release(self) -> None:
        """Let another process watch at once."""
        _run(self._pool, LEAVE, self._holder)

    def store_seen(self, seen: Mapping[str, Any]) -> None:
        """Store what was seen, unless another process watches by now."""
        _run(self._pool, TELL, self._holder, json.dumps(seen))

    def stored_offsets(self, topic: str) -> dict[int, tuple[UUID, int]]:
        """Return the topic ids and the next offsets of the partitions that have a row."""
        return {partition: (topic_id, offset) for partition, topic_id, offset in _run(self._pool, STORED, topic)}

    def last_check(self) -> LastCheck | None:
        """Return the last consistency check that ended; None before the first."""
        return last_check(self._pool)

    def snapshot_seconds(self) -> float:
        """Return for how long the oldest snapshot has been held, 0 where none is."""
        return self._snapshots.oldest_seconds()

    def lives(self) -> list[Life]:
        """Return the processes that told of themselves lately."""
        return [Life(*row) for row in _run(self._pool, LIVES)]

    def lanes(self) -> dict[str, QueuedRows]:
        """Return what waits, by lane."""
        return {name: look.look(self._pool) for name, look in self._lanes.items()}


def read_seen(pool: Pool, deadline: Deadline) -> Seen | None:
    """Return what the watch saw in the last WATCH_STALE_SECONDS, in whichever process. Raises DatabaseTrouble."""
    rows = pool.run(SEEN, (), deadline)
    return json.loads(rows[0][0]) if rows else None


def is_watched(pool: Pool) -> bool:
    """Tell whether any process watches. Raises DatabaseTrouble."""
    return bool(_run(pool, SEEN))


def _run(pool: Pool, statement: Statement, *parameters: Any) -> list[tuple[Any, ...]]:
    return pool.run(statement, parameters, Deadline(CALL_SECONDS))
