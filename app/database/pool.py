"""Connections for one kind of work: server-side prepared statements, and a deadline on every call.

Prepared statements go straight to psycopg2: sent as one message they are 2.2 times as fast as its default way
(decision 5). A frozen backend ignores every time-out that the server or libpq knows, so every wait has a deadline of
the service's own (timed.py).
"""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import psycopg2
from psycopg2.extensions import connection as Connection

from app.database.arrays import array_literal
from app.database.connections import Connections, Lent
from app.database.database import Database
from app.database.statement import Statement
from app.database.timed import timed
from app.database.translation import STALE_PLAN, translated, without_values
from app.models.errors import DatabaseAway, DatabaseBusy, DatabaseError, DatabaseReadOnly, OutcomeUnknown
from app.utils.deadline import Deadline
from app.utils.limits import LEEWAY_MS, LOCK_MS, POOL_SECONDS, STATEMENT_MS
from app.utils.line import Line

LEAST_SHARE = 0.7  # of the time that a statement may take: a limit of less is raised
STEP_MS = 100  # a limit is a multiple of it, so that the next statement, a little later, can have the same

_READ_ONLY = Statement("read_only", {}, "SELECT current_setting('transaction_read_only')")  # on a standby it is on


class Session:
    """One connection in use by one caller."""

    def __init__(self, lent: Lent) -> None:
        self._lent = lent
        self.connection = lent.connection

    def execute(self, statement: Statement, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Return the rows, an empty list for a statement that yields none. A list as a value is an array.

        Raises psycopg2's errors, which the pool translates at the end of its block.
        """
        values = [array_literal(value) if isinstance(value, list) else value for value in parameters]
        prepared = self._lent.prepared
        with self.connection.cursor() as cursor:
            if statement.name not in prepared:
                cursor.execute(statement.prepare)
                prepared.add(statement.name)
            cursor.execute(statement.call, values)
            return cursor.fetchall() if cursor.description else []

    def limit(self, deadline: Deadline) -> None:
        """Have the server end the following statements of the transaction before `deadline`.

        The limit that the transaction began with is one of each statement, not of all together.
        """
        with self.connection.cursor() as cursor:
            cursor.execute(f"SET LOCAL statement_timeout = {_statement_ms(deadline, STATEMENT_MS)}")

    def set_autocommit(self, wanted: bool) -> None:
        """Switch autocommit on or off. psycopg2 lets other threads run at each assignment, so none is needless."""
        if self.connection.autocommit is not wanted:
            self.connection.autocommit = wanted

    def roll_back(self) -> None:
        """Undo what the transaction has done so far."""
        self.connection.rollback()

    def forget_plans(self) -> None:
        """Drop every prepared statement: the schema has changed since they were planned."""
        with self.connection.cursor() as cursor:
            cursor.execute("DEALLOCATE ALL")
        self._lent.prepared.clear()


class Transactions(Protocol):
    """What stores run their statements by: a Pool, or one transaction that somebody else ends (one_transaction.py)."""

    @property
    def line(self) -> Line[Any]:
        """Who waits for a connection."""

    def run(self, statement: Statement, parameters: Sequence[Any], deadline: Deadline) -> list[tuple[Any, ...]]:
        """As Pool.run."""

    def transaction(self, deadline: Deadline) -> contextlib.AbstractContextManager[Session]:
        """As Pool.transaction."""


class Pool:
    """Connections for one kind of work, and the two ways to use one.

    A statement is planned once for each connection: every plan uses an index whatever the values are, and planning a
    page each time took longer than reading it. For an empty table the planner would choose to read all of it, and keep
    that plan until the table is analyzed: so sequential scans are off.
    """

    def __init__(
        self, database: Database, size: int, statement_ms: int = STATEMENT_MS, *, durable: bool = True
    ) -> None:
        """At most `size` connections, whose statements may each take `statement_ms`. Opens none yet.

        Not `durable`: a commit does not wait for the disk, and may be lost with the server.
        """
        self._database = database
        self._statement_ms = statement_ms

        def connect() -> Connection:
            return database.connect(
                statement_timeout=statement_ms,
                lock_timeout=LOCK_MS,
                plan_cache_mode="force_generic_plan",
                enable_seqscan="off",
                **({} if durable else {"synchronous_commit": "off"}),
            )

        self._connections = Connections(connect, size)
        database.add_pool(self._connections)

    @property
    def away(self) -> str | None:
        """Why the database is away, or lets no new connection in, in a sentence without secrets; else None."""
        return self._database.reason

    @property
    def line(self) -> Line[Any]:
        """Who waits for a connection."""
        return self._connections.line

    @property
    def used(self) -> int:
        """How many connections callers have."""
        return self._connections.used

    @property
    def idle(self) -> int:
        """How many connections are open and wait for a caller."""
        return self._connections.idle

    def run(self, statement: Statement, parameters: Sequence[Any], deadline: Deadline) -> list[tuple[Any, ...]]:
        """Run one statement, commit, and return its rows.

        Blocks until `deadline` at the longest. Raises DatabaseError: only after OutcomeUnknown may the statement have
        been committed.
        """
        with self._borrowed(deadline) as session:
            session.set_autocommit(True)  # the statement is a transaction of its own, and commits
            try:
                rows = session.execute(statement, parameters)
            except psycopg2.Error as error:
                if error.pgcode not in STALE_PLAN:
                    raise
                session.forget_plans()
                rows = session.execute(statement, parameters)
            self._database.answered()
            return rows

    @contextlib.contextmanager
    def transaction(self, deadline: Deadline) -> Iterator[Session]:
        """Run a block in a transaction: commit at its end, roll back when it raises. Blocks and raises as `run`."""
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

    def is_read_only(self, deadline: Deadline) -> bool:
        """Tell whether the server takes no changes now: a standby, or set so. Raises as `run`."""
        return self.run(_READ_ONLY, (), deadline) == [("on",)]

    def drop_idle(self) -> None:
        """Close the idle connections. Those in use are closed when they are given back."""
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
            raise self._translated(error, lent, deadline) from without_values(error)
        finally:
            self._connections.give_back(lent)

    def _limit(self, session: Session, lent: Lent, deadline: Deadline) -> None:
        """Have the server end the statement of a late request: when the pool must end it, the connection is lost.

        Each change of the limit is a call of its own, so a limit that the connection had before is kept where it ends
        the statement in time and leaves it most of its time.
        """
        most = _statement_ms(deadline, self._statement_ms)
        now = lent.statement_ms or self._statement_ms
        if not most * LEAST_SHARE <= now <= most:
            limit = max(most - most % STEP_MS, min(most, STEP_MS))
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

    def _translated(self, error: psycopg2.Error, lent: Lent, deadline: Deadline) -> DatabaseError:
        """Return the error as the service's own, and draw the consequences for the connection and for the database."""
        found = translated(error, is_lost=bool(lent.connection.closed))
        if isinstance(found, DatabaseReadOnly):
            lent.connection.close()
            self._database.drop_idle()  # a new connection finds a server that has been promoted meanwhile
        elif isinstance(found, OutcomeUnknown):
            lent.connection.close()
            if not deadline.passed:
                self._database.drop_idle()
            elif not self._database.answered_lately:
                self._database.mark_unavailable(error)  # one late call alone may have waited for another's lock
        elif found.sqlstate:  # a server that refuses is not away
            self._database.answered()
            if found.sqlstate.startswith(STALE_PLAN):
                lent.connection.close()
        return found


def read(
    pool: Transactions, statement: Statement, parameters: Sequence[Any], deadline: Deadline
) -> list[tuple[Any, ...]]:
    """As `Pool.run`, for a statement that may run twice: if the connection was dead, it runs once more."""
    try:
        return pool.run(statement, parameters, deadline)
    except OutcomeUnknown:
        return pool.run(statement, parameters, deadline)


def _statement_ms(deadline: Deadline, maximum: int) -> int:
    return min(maximum, max(int(deadline.remaining * 1000) - LEEWAY_MS, 1))
