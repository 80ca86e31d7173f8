"""One PostgreSQL server: connections to it, and one judgement for the process whether it is available.

While the server is away only one thread tries to connect, the prober. All calls fail at once instead of queueing. While
the server is there and lets no new connection in (a password was changed), the calls that find an open one go on.
"""

import logging
import threading
import time
from collections.abc import Mapping

import psycopg2
from psycopg2.extensions import connection as Connection

from app.database.connection import connect
from app.database.connections import Connections
from app.database.reasons import Reason, reason_of
from app.database.timed import timed
from app.models.errors import ConnectionRefused, DatabaseAway, DatabaseFull, DatabaseReadOnly
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
        self._pools: list[Connections] = []
        self._there = threading.Event()
        self._there.set()
        self._lets_in = True  # new connections, as far as is known
        self._prober = threading.Lock()
        self._reason: Reason | None = None
        self._proved = False
        self._answered_at = float("-inf")

    @property
    def available(self) -> bool:
        """Whether the last attempt to reach the server succeeded, or connections are open all the same."""
        return self._there.is_set()

    @property
    def reason(self) -> str | None:
        """Why the database is away, or lets no new connection in, in a sentence without secrets; else None."""
        reason = self._reason
        return None if (self.available and self._lets_in) or reason is None else reason.sentence

    @property
    def answered_lately(self) -> bool:
        """Whether any call was answered within the last second."""
        return time.monotonic() - self._answered_at < LATELY_SECONDS

    def answered(self) -> None:
        """Note that a call has been answered."""
        self._answered_at = time.monotonic()

    def add_pool(self, connections: Connections) -> None:
        """Register a pool's connections: the idle ones are dropped when one was found dead."""
        self._pools.append(connections)

    def connect(self, **settings: int | str) -> Connection:
        """Open a connection with server settings such as `statement_timeout` (ms).

        The first connection after the database was away is proved to have a session of its own. Raises DatabaseAway,
        ConnectionRefused where the server lets no new connection in while others are open, and DatabaseFull where it
        has none to spare.
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
        was_there = self._there.is_set()
        self._there.clear()
        self._start_prober(error)
        if was_there:
            self._proved = False
            self.drop_idle()

    def drop_idle(self) -> None:
        """Close the idle connections of all pools: what ended one connection has most likely ended these too."""
        for connections in self._pools:
            connections.drop_idle()

    def _connected(self, settings: Mapping[str, int | str], *, prove: bool) -> Connection:
        if not self.available:
            raise DatabaseAway("The database is away")
        if not self._lets_in:
            raise self._refusal()
        try:
            return self._open(settings, prove=prove)
        except psycopg2.Error as error:
            reason = reason_of(error)
            if reason.full:
                raise DatabaseFull("The database has no connection to spare") from error
            if reason.for_new and self._any_open:
                self._lets_in = False
                self._start_prober(error)
                raise self._refusal() from error
            self.mark_unavailable(error)
            raise DatabaseAway("The database cannot be reached") from error

    @property
    def _any_open(self) -> bool:
        return any(connections.any_open for connections in self._pools)

    def _refusal(self) -> DatabaseAway:
        """Return the error of a call that finds no open connection. Where none is left at all, the server is away."""
        if not self._any_open:
            self._there.clear()
        return ConnectionRefused("The database cannot be reached", f"it lets no new connection in: {self.reason}")

    def _start_prober(self, error: Exception) -> None:
        """Start it unless it runs; then note why. Where the system has no more threads, the next caller finds out."""
        if self._prober.acquire(blocking=False):
            self._note(error)
            try:
                threading.Thread(target=self._probe, name="database-prober", daemon=True).start()
            except RuntimeError:
                self._prober.release()
                self._lets_in = True
                self._there.set()
                raise

    def _note(self, error: Exception) -> None:
        reason = reason_of(error)
        if reason != self._reason:
            self._reason = reason
            what = "away" if not self.available else "lets no new connection in"
            log.warning("database %s: %s", what, reason.sentence)

    def _probe(self) -> None:
        pause = threading.Event()
        while not self._answers():
            pause.wait(REFUSED_SECONDS if self._reason and self._reason.lasts else PROBE_SECONDS)
        if not self.available:
            self.drop_idle()
        self._prober.release()  # before the flags: a call that finds the server away again must find no prober
        self._reason = None
        self._lets_in = True
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
