"""One open transaction in place of a pool: the stores over it commit nothing by themselves.

So an operator's act runs the statements of the service, and is committed together with its audit line, or rolled back
for good. What would be a transaction of its own is a part of this one, under a savepoint: where it fails, the
transaction goes on, as a pool's connection does.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg2
import sqlalchemy

from app.database.connections import Lent
from app.database.pool import Session
from app.database.statement import Statement
from app.database.timed import timed
from app.database.translation import translated, without_values
from app.utils.deadline import Deadline
from app.utils.line import Line


class _Part(Session):
    """The transaction as one call of a store sees it: from its savepoint on."""

    def begin(self) -> None:
        self._send("SAVEPOINT part")

    def end(self) -> None:
        self._send("RELEASE SAVEPOINT part")

    def roll_back(self) -> None:
        self._send("ROLLBACK TO SAVEPOINT part")

    def _send(self, command: str) -> None:
        with self.connection.cursor() as cursor:
            cursor.execute(command)


class OneTransaction:
    """The transaction of a connection of SQLAlchemy's, whose owner commits it or rolls it back.

    Every call blocks until its deadline at the longest, and raises DatabaseError.
    """

    def __init__(self, connection: sqlalchemy.Connection) -> None:
        """The connection is one of `connect` (connection.py), and nobody else uses it meanwhile."""
        opened: Any = connection.connection.driver_connection
        self._session = _Part(Lent(opened, 0))
        self.line: Line[Any] = Line()

    def run(self, statement: Statement, parameters: Sequence[Any], deadline: Deadline) -> list[tuple[Any, ...]]:
        """Run one statement and return its rows."""
        with self.transaction(deadline) as session:
            return session.execute(statement, parameters)

    @contextmanager
    def transaction(self, deadline: Deadline) -> Iterator[Session]:
        """Run a block as a part of the transaction, which is undone when the block raises."""
        session = self._session
        try:
            with timed(session.connection, deadline):
                session.begin()
                try:
                    yield session
                except BaseException:
                    if not session.connection.closed:
                        session.roll_back()
                    raise
                session.end()
        except psycopg2.Error as error:
            raise translated(error, is_lost=bool(session.connection.closed)) from without_values(error)

    def check_constraints(self, deadline: Deadline) -> None:
        """Check now what would be checked at the commit."""
        with self.transaction(deadline) as session, session.connection.cursor() as cursor:
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
