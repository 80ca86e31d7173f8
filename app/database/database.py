"""One PostgreSQL server: connections to it, and one judgement for the process whether it is available.

While the server is away only one thread tries to connect, the prober. All calls fail at once instead of queueing.
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping

import psycopg2
from psycopg2.extensions import connection as Connection

from app.database.connection import connect
from app.database.reasons import Reason, reason_of
from app.database.timed import timed
from app.models.errors import DatabaseAway, DatabaseFull, DatabaseReadOnly
from app.utils.deadline import Deadline

log = logging.getLogger(__name__)

PROBE_SECONDS = 0.6  # between two attempts to connect
REFUSED_SECONDS = 3.0  # … where a person must mend something first: too many refused attempts lock an account
LATELY_SECONDS = 1.0


class Database:
    """One server: whether it is available, and if not, why. Constructing it opens nothing."""

    def __init__(self, url: str) -> None:
        """`url`: a SQLAlchemy URL of psycopg2."""
        self._url = url
        self._pools: list[Callable[[], None]] = []
        self._there = threading.Event()
        self._there.set()
        self._prober = threading.Lock()
        self._reason: Reason | None = None
        self._proved = False
        self._answered_at = float("-inf")

    @property
    def available(self) -> bool:
        """Whether the last attempt to reach the server succeeded."""
        return self._there.is_set()

    @property
    def reason(self) -> str | None:
        """Why the database is away, in a sentence without secrets; None while it answers."""
        reason = self._reason
        return None if self.available or reason is None else reason.sentence

    @property
    def answered_lately(self) -> bool:
        """Whether any call was answered within the last second."""
        return time.monotonic() - self._answered_at < LATELY_SECONDS

    def answered(self) -> None:
        """Note that a call has been answered."""
        self._answered_at = time.monotonic()

    def add_pool(self, drop_idle: Callable[[], None]) -> None:
        """Register a pool: its `drop_idle` is called when one connection was found dead."""
        self._pools.append(drop_idle)

    def connect(self, **settings: int | str) -> Connection:
        """Open a connection with server settings such as `statement_timeout` (ms).

        The first connection after the database was away is proved to have a session of its own. Raises DatabaseAway,
        and DatabaseFull where the server has no connection to spare.
        """
        return self._connected(settings, prove=not self._proved)

    def connect_for_lease(self, **settings: int | str) -> Connection:
        """As `connect`, and proved to have a session of its own: in a shared one there could be two leaders.

        Raises DatabaseReadOnly too: a leader on a standby would not know of the leader on the primary.
        """
        connection = self._connected(settings, prove=True)
        try:
            with timed(connection, Deadline(1.0)), connection.cursor() as cursor:
                cursor.execute("SHOW transaction_read_only")  # on too where the server is a standby
                if cursor.fetchone() == ("off",):
                    return connection
        except psycopg2.Error as error:
            connection.close()
            raise DatabaseAway("The database connection was lost") from error
        connection.close()
        raise DatabaseReadOnly("The database takes no changes now")

    def wait(self, stop: threading.Event, seconds: float) -> bool:
        """Wait until the database is available; false when `seconds` passed or `stop` was set first."""
        deadline = Deadline(seconds)
        while not stop.is_set() and not deadline.passed:
            if self._there.wait(0.1):
                return True
        return False

    def mark_unavailable(self, error: Exception) -> None:
        """Note why the server is away, and start the prober, which finds out when it is back.

        Idle connections are closed. Where the server only has no connection to spare, and says so in another language,
        that makes room for the prober.
        """
        self._there.clear()
        if self._prober.acquire(blocking=False):
            self._proved = False
            self._note(error)
            try:
                threading.Thread(target=self._probe, name="database-prober", daemon=True).start()
            except RuntimeError:  # the system has no more threads: the next caller finds out
                self._prober.release()
                self._there.set()
                raise
            self.drop_idle()

    def drop_idle(self) -> None:
        """Close the idle connections of all pools: what ended one connection has most likely ended these too."""
        for drop_idle in self._pools:
            drop_idle()

    def _connected(self, settings: Mapping[str, int | str], *, prove: bool) -> Connection:
        if not self.available:
            raise DatabaseAway("The database is away")
        try:
            return self._open(settings, prove=prove)
        except psycopg2.Error as error:
            if reason_of(error).full:
                raise DatabaseFull("The database has no connection to spare") from error
            self.mark_unavailable(error)
            raise DatabaseAway("The database cannot be reached") from error

    def _note(self, error: Exception) -> None:
        reason = reason_of(error)
        if reason != self._reason:
            self._reason = reason
            log.warning("database away: %s", reason.sentence)

    def _probe(self) -> None:
        pause = threading.Event()
        while not self._answers():
            pause.wait(REFUSED_SECONDS if self._reason and self._reason.lasts else PROBE_SECONDS)
        self.drop_idle()
        self._prober.release()  # before the flag: a call that finds the server away again must find no prober
        self._reason = None
        self._there.set()
        log.info("database back")

    def _answers(self) -> bool:
        try:
            self._open({}, prove=True).close()
        except (psycopg2.Error, OSError, RuntimeError) as error:  # RuntimeError: the system has no more threads
            self._note(error)
            return False
        return True

    def _open(self, settings: Mapping[str, int | str], *, prove: bool) -> Connection:
        connection = connect(self._url, settings, prove=prove)
        self._proved = True
        return connection
