"""The processes of the service, as each tells of itself every second.

A row that is not renewed belongs to a process that was killed, stands still, or cannot reach the database. A process
that ends by itself takes its row with it.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from app.database.pool import Pool, read
from app.database.statement import Statement
from app.utils.deadline import Deadline
from app.utils.limits import WATCH_STALE_SECONDS

CALL_SECONDS = 2.5
KEEP_DAYS = 1
MOST = 500

TELL = Statement(
    "tell_instance",
    {
        "name": "text",
        "host": "text",
        "pid": "integer",
        "version": "text",
        "commit": "text",
        "roles": "text",
        "age": "float8",
        "parts": "text",
    },
    "INSERT INTO instances (name, host, pid, version, commit, roles, started_at, seen_at, parts) "
    "VALUES ($name, $host, $pid, $version, $commit, $roles, now() - make_interval(secs => $age), now(), $parts) "
    "ON CONFLICT (name) DO UPDATE SET seen_at = now(), parts = excluded.parts",
)
LEAVE = Statement("leave_instance", {"name": "text"}, "DELETE FROM instances WHERE name = $name")
PRUNE = Statement(
    "prune_instances",
    {},
    "DELETE FROM instances WHERE name IN (SELECT name FROM instances "
    f"WHERE seen_at < now() - make_interval(days => {KEEP_DAYS}) LIMIT 1000 FOR UPDATE SKIP LOCKED)",
)
LOOK = Statement(
    "look_at_service",
    {},
    "SELECT name, host, pid, roles, extract(epoch FROM now() - started_at)::float8, "
    "extract(epoch FROM now() - seen_at)::float8, parts, "
    "current_setting('transaction_read_only') = 'on', (SELECT seen FROM watch "
    f"WHERE seen IS NOT NULL AND seen_at > now() - make_interval(secs => {WATCH_STALE_SECONDS})) "
    f"FROM (SELECT * FROM instances ORDER BY seen_at DESC LIMIT {MOST}) AS latest "
    "RIGHT JOIN (VALUES (1)) AS always ON true ORDER BY name",
)
"""One row at least: what the watch saw is known where no process has told of itself yet."""


LIVES = Statement(
    "lives_of_instances",
    {},
    "SELECT extract(epoch FROM now() - started_at)::float8, extract(epoch FROM now() - seen_at)::float8 "
    f"FROM instances ORDER BY seen_at DESC LIMIT {MOST}",
)


@dataclass(frozen=True, slots=True)
class Life:
    """Of one process, seconds since its start, and since it last told of itself."""

    age: float
    silent: float


@dataclass(frozen=True, slots=True)
class Told:
    """What one process said of itself. `age`: seconds since its start; `silent`: since it said this; `parts`: as
    `/readyz` has them."""

    name: str
    host: str
    pid: int
    roles: str
    age: float
    silent: float
    parts: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ServiceSeen:
    """All that the processes said, and what the watch saw last; empty if that is too long ago."""

    instances: Sequence[Told]
    watch: Mapping[str, Any]
    read_only: bool


class InstanceTable:
    """The writing side. Each call blocks for CALL_SECONDS at the longest and raises DatabaseError."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def tell(self, values: Mapping[str, Any], parts: Mapping[str, Any]) -> None:
        """Write this process's row. `values`: of TELL, but for `parts`."""
        row = TELL.in_order({**values, "parts": json.dumps(parts, default=str)})
        self._pool.run(TELL, row, Deadline(CALL_SECONDS))

    def leave(self, name: str) -> None:
        """Take the row away, because the process ends."""
        self._pool.run(LEAVE, (name,), Deadline(CALL_SECONDS))

    def prune(self) -> None:
        """Delete what was silent for KEEP_DAYS."""
        self._pool.run(PRUNE, (), Deadline(CALL_SECONDS))


def look(pool: Pool, deadline: Deadline) -> ServiceSeen:
    """Return what is known of the whole service, in one statement. Blocks until `deadline`; raises DatabaseTrouble."""
    rows = read(pool, LOOK, (), deadline)
    told = [
        Told(name, host, pid, roles, age, silent, json.loads(parts))
        for name, host, pid, roles, age, silent, parts, *_ in rows
        if name is not None
    ]
    return ServiceSeen(told, json.loads(rows[0][8] or "{}"), rows[0][7])
