"""Connections to PostgreSQL: server-side prepared statements, a deadline on every call, one opinion on its health.

SQLAlchemy keeps the schema; the statements of the hot path go straight to psycopg2, because a prepared
statement sent as one message is 2.2 times as fast as the default way. A frozen backend ignores every time-out that
the server or libpq knows, so every wait has a deadline of ours (timed.py). While the server is away nobody but
one prober connects, and calls fail at once instead of waiting in a row.
"""

import contextlib
import logging
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import psycopg2
from psycopg2.extensions import connection as Connection

from app.database.arrays import array_literal
from app.database.connection import connect
from app.database.pool import Connections, Lent
from app.database.reasons import Reason, reason_of, told
from app.database.timed import timed
from app.models.errors import (
    ConnectingTakesLong,
    DatabaseAway,
    DatabaseBusy,
    DatabaseFails,
    DatabaseFull,
    DatabaseReadOnly,
    DatabaseTrouble,
    OutcomeUnknown,
)
from app.utils.deadline import Deadline
from app.utils.limits import LEEWAY_MS, LOCK_MS, POOL_SECONDS, STATEMENT_MS

__all__ = [
    "ConnectingTakesLong",
    "Database",
    "DatabaseAway",
    "DatabaseBusy",
    "DatabaseFull",
    "DatabaseReadOnly",
    "DatabaseTrouble",
    "OutcomeUnknown",
    "Pool",
    "Session",
    "Statement",
]

log = logging.getLogger(__name__)

PROBE_SECONDS = 0.6  # two connection attempts a second at most, as long as the server is away
REFUSED_SECONDS = 3.0  # between attempts that a person must mend first: too many lock an account
LATELY_SECONDS = 1.0

_DEAD = ("08", "57P01", "57P02", "57P03", "40003")
_BUSY = ("55P03", "57014", "40P01", "40001", "53")
_STALE_PLAN = ("0A000", "26000")
_NO_SCHEMA = ("42P01", "42703")
_OWN = ("22", "23")  # what a statement's values can be at fault for


@dataclass(frozen=True)
class Statement:
    """A named statement with $n parameters of the given PostgreSQL types."""

    name: str
    types: tuple[str, ...]
    sql: str

    @cached_property
    def prepare(self) -> str:
        """The PREPARE command, sent once a connection."""
        types = f" ({', '.join(self.types)})" if self.types else ""
        return f"PREPARE {self.name}{types} AS {self.sql}"

    @cached_property
    def call(self) -> str:
        """The EXECUTE command with psycopg2's placeholders; the casts type NULLs and arrays of NULLs."""
        if not self.types:
            return f"EXECUTE {self.name}"
        return f"EXECUTE {self.name} ({', '.join(f'%s::{name}' for name in self.types)})"


class Session:
    """One connection in use by one caller."""

    def __init__(self, lent: Lent) -> None:
        self._lent = lent
        self.connection = lent.connection

    def execute(self, statement: Statement, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Return the rows (none where the statement yields none); lists are arrays. Raises psycopg2's errors."""
        values = [array_literal(value) if isinstance(value, list) else value for value in parameters]
        prepared = self._lent.prepared
        with self.connection.cursor() as cursor:
            if statement.name not in prepared:
                cursor.execute(statement.prepare)
                prepared.add(statement.name)
            cursor.execute(statement.call, values)
            return cursor.fetchall() if cursor.description else []

    def limit(self, deadline: Deadline) -> None:
        """Let the server end what the transaction waits for from here on before `deadline`: the limit of its beginning
        is one of each statement."""
        with self.connection.cursor() as cursor:
            cursor.execute(f"SET LOCAL statement_timeout = {_statement_ms(deadline, STATEMENT_MS)}")

    def set_autocommit(self, wanted: bool) -> None:
        """Begin transactions or not; psycopg2 lets other threads go first even where it is so already."""
        if self.connection.autocommit is not wanted:
            self.connection.autocommit = wanted

    def forget_plans(self) -> None:
        """Drop every prepared statement: the schema moved under them."""
        with self.connection.cursor() as cursor:
            cursor.execute("DEALLOCATE ALL")
        self._lent.prepared.clear()


class Database:
    """One server: whether it is there, and why not. Opens nothing by itself."""

    def __init__(self, url: str) -> None:
        """`url`: a SQLAlchemy URL of psycopg2."""
        self._url = url
        self._pools: list[Pool] = []
        self._there = threading.Event()
        self._there.set()
        self._prober = threading.Lock()
        self._reason: Reason | None = None
        self._proved = False
        self._answered_at = float("-inf")

    @property
    def available(self) -> bool:
        """Whether the last contact was a good one."""
        return self._there.is_set()

    @property
    def reason(self) -> str | None:
        """Why the database is away, in a sentence without secrets; None while it is there."""
        reason = self._reason
        return None if self.available or reason is None else reason.sentence

    @property
    def answered_lately(self) -> bool:
        """Whether any call had its answer within the last second."""
        return time.monotonic() - self._answered_at < LATELY_SECONDS

    def answered(self) -> None:
        """Note that a call has had its answer."""
        self._answered_at = time.monotonic()

    def pool(self, size: int, statement_ms: int = STATEMENT_MS) -> "Pool":
        """Return a new pool of at most `size` connections whose statements may take `statement_ms`."""
        pool = Pool(self, size, statement_ms)
        self._pools.append(pool)
        return pool

    def connect(self, **settings: int | str) -> Connection:
        """Open a connection of its own with server settings such as `statement_timeout` (ms).

        The first one after the database was away is proved to have a session of its own. Raises DatabaseAway, and
        DatabaseBusy where the server has no connection to spare.
        """
        return self._connected(settings, prove=not self._proved)

    def connect_to_lead(self, **settings: int | str) -> Connection:
        """As `connect`, and proved: two leaders could share a session that is not one's own. Raises DatabaseReadOnly
        too, because who leads on a standby would not know of the leader elsewhere."""
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
        """Wait until the database is there; false when `seconds` passed or `stop` was set first."""
        deadline = Deadline(seconds)
        while not stop.is_set() and not deadline.passed:
            if self._there.wait(0.1):
                return True
        return False

    def left(self, error: Exception) -> None:
        """Note why the server is away, and let one prober find out when it is back.

        Where it only has no connection to spare, and says so in another language, ours that are idle make room.
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
        """Close the idle connections: what one dead connection suffered, they most likely did too."""
        for pool in self._pools:
            pool.drop_idle()

    def _connected(self, settings: Mapping[str, int | str], *, prove: bool) -> Connection:
        if not self.available:
            raise DatabaseAway("The database is away")
        try:
            return self._open(settings, prove=prove)
        except psycopg2.Error as error:
            if reason_of(error).full:
                raise DatabaseFull("The database has no connection to spare") from error
            self.left(error)
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
        self._prober.release()  # before the flag: who sees it away again must find the place of the prober free
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


class Pool:
    """Connections for one kind of work, and the two ways to use one.

    Each statement is planned once a connection: all go by an index whatever their values, and planning a page each time
    took longer than reading it. On a table that is still empty, the planner would choose to read all of it, and stay
    with that until the table is analyzed: so it must take an index where there is one.
    """

    def __init__(self, database: Database, size: int, statement_ms: int) -> None:
        self._database = database
        self._statement_ms = statement_ms

        def connect() -> Connection:
            return database.connect(
                statement_timeout=statement_ms,
                lock_timeout=LOCK_MS,
                plan_cache_mode="force_generic_plan",
                enable_seqscan="off",
            )

        self._connections = Connections(connect, size)

    @property
    def away(self) -> str | None:
        """Why the database is away; None while it is there."""
        return self._database.reason

    def run(self, statement: Statement, parameters: Sequence[Any], deadline: Deadline) -> list[tuple[Any, ...]]:
        """Run one autocommitted statement and return its rows.

        Blocks until `deadline` at the longest. Raises DatabaseAway and DatabaseBusy (nothing done), OutcomeUnknown,
        and psycopg2's error where the values may be at fault: SQLSTATE class 22 and 23 (a taken key), nothing else.
        """
        with self._borrowed(deadline) as session:
            session.set_autocommit(True)
            try:
                rows = session.execute(statement, parameters)
            except psycopg2.Error as error:
                if error.pgcode not in _STALE_PLAN:
                    raise
                session.forget_plans()
                rows = session.execute(statement, parameters)
            self._database.answered()
            return rows

    @contextlib.contextmanager
    def transaction(self, deadline: Deadline) -> Iterator[Session]:
        """Commit the body's statements together at its end, or roll back when it raises. Raises as `run`."""
        with self._borrowed(deadline) as session:
            session.set_autocommit(False)
            try:
                yield session
                session.connection.commit()
                self._database.answered()
            except BaseException:
                with contextlib.suppress(psycopg2.Error):
                    session.connection.rollback()
                raise

    def drop_idle(self) -> None:
        """Close the idle connections; those in use close when they come back."""
        self._connections.drop_idle()

    @contextlib.contextmanager
    def _borrowed(self, deadline: Deadline) -> Iterator[Session]:
        lent = self._take(deadline)
        session = Session(lent)
        try:
            with timed(lent.connection, deadline):
                self._limit(session, lent, deadline)
                yield session
        except psycopg2.Error as error:
            trouble = self._trouble(error, lent, deadline)
            if trouble is None:
                raise
            raise trouble from error
        finally:
            self._connections.give_back(lent)

    def _limit(self, session: Session, lent: Lent, deadline: Deadline) -> None:
        """Let the server end the statement of a late request: one that we must end ourselves loses its connection."""
        limit = _statement_ms(deadline, self._statement_ms)
        if limit != (lent.statement_ms or self._statement_ms):
            session.set_autocommit(True)
            with session.connection.cursor() as cursor:
                cursor.execute(f"SET statement_timeout = {limit}")
            lent.statement_ms = limit

    def _take(self, deadline: Deadline) -> Lent:
        if not self._database.available:
            raise DatabaseAway("The database is away")
        if deadline.passed:
            raise DatabaseBusy("The request took too long")
        return self._connections.take(deadline, POOL_SECONDS)

    def _trouble(self, error: psycopg2.Error, lent: Lent, deadline: Deadline) -> DatabaseTrouble | None:
        code, cause = error.pgcode or "", told(error)
        if code == "25006":  # refused; a server that has been promoted meanwhile is found by a new connection
            lent.connection.close()
            self._database.drop_idle()
            return DatabaseReadOnly("The database takes no changes now; nothing was done", cause, code)
        if lent.connection.closed or code.startswith(_DEAD):
            lent.connection.close()
            if not deadline.passed:
                self._database.drop_idle()
            elif not self._database.answered_lately:
                self._database.left(error)  # late alone may be one that waited for others
            return OutcomeUnknown(
                "The database connection was lost; whether the change was made is not known", cause, code
            )
        if code:  # a server that refuses is there
            self._database.answered()
        if code.startswith(_STALE_PLAN):
            lent.connection.close()
            return DatabaseBusy("The database schema has just changed", cause, code)
        if code.startswith(_BUSY):
            return DatabaseBusy("The database is busy", cause, code)
        if code.startswith(_NO_SCHEMA):
            return DatabaseAway("The database schema is not ready yet", cause, code)
        return None if code.startswith(_OWN) else DatabaseFails("The database cannot do this now", cause, code)


def read(pool: Pool, statement: Statement, parameters: Sequence[Any], deadline: Deadline) -> list[tuple[Any, ...]]:
    """As `Pool.run`, for what may be done twice: a connection that was dead already costs one more try."""
    try:
        return pool.run(statement, parameters, deadline)
    except OutcomeUnknown:
        return pool.run(statement, parameters, deadline)


def _statement_ms(deadline: Deadline, most: int) -> int:
    return min(most, max(int(deadline.remaining * 1000) - LEEWAY_MS, 1))
