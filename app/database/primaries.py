"""Which of several servers is the primary now: an old one may come back after a promotion, and take changes too.

libpq takes the first server of the address that takes changes. Each promotion begins a new timeline of the cluster. So
of two servers that take changes the one with the higher timeline is the primary, and the other one is refused. A
process that connects for the first time looks at all servers of the address; later it remembers the highest timeline.
A standby has none, and a server that does not tell its own is taken as it is.
"""

import threading
from collections.abc import Iterator

import psycopg2
from psycopg2.extensions import connection as Connection

from app.database.timed import timed
from app.utils.deadline import Deadline

_ASK_SECONDS = 1.0
_TIMELINE = (
    "SELECT system_identifier::text, ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::integer "
    "FROM pg_control_system() WHERE NOT pg_is_in_recovery()"
)


class OldPrimary(psycopg2.OperationalError):
    """The server takes changes, but another one of its cluster was promoted since."""


class Primaries:
    """The highest timeline that this process has seen of each cluster."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._newest: dict[str, int] = {}
        self._known: set[str] = set()  # addresses whose servers were all looked at once

    def choose(self, url: str, opened: Iterator[Connection]) -> Connection | None:
        """Return the first connection that leads to no old primary, and close those that were looked at beside it.

        Raises OldPrimary where all lead to one; returns None where there is none at all.
        """
        candidates = opened if url in self._known else self._looked_at(url, opened)
        chosen: Connection | None = None
        old = False
        for candidate in candidates:
            if self._is_newest(candidate):
                chosen = candidate
                break
            old = True
            candidate.close()
        for beside in candidates if isinstance(candidates, list) else ():
            if beside is not chosen:
                beside.close()
        if old and chosen is None:
            raise OldPrimary("another server was promoted since")
        return chosen

    def _looked_at(self, url: str, opened: Iterator[Connection]) -> list[Connection]:
        """Return a connection to each server that answers, after their timelines were noted."""
        found = list(opened)
        for connection in found:
            self._is_newest(connection)
        if found:
            self._known.add(url)
        return found

    def _is_newest(self, connection: Connection) -> bool:
        line = _timeline(connection)
        if line is None:
            return True
        cluster, number = line
        with self._lock:
            newest = self._newest[cluster] = max(number, self._newest.get(cluster, 0))
        return number == newest


def _timeline(connection: Connection) -> tuple[str, int] | None:
    """Return the cluster and its timeline; None of a standby, and of a server that does not tell."""
    try:
        with timed(connection, Deadline(_ASK_SECONDS)), connection.cursor() as cursor:
            cursor.execute(_TIMELINE)
            found: tuple[str, int] | None = cursor.fetchone()
    except psycopg2.Error:
        return None
    return found


PRIMARIES = Primaries()
"""Of this process: all its connections, whatever they are for, must lead to the same primary."""
