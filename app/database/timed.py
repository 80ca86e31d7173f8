"""A deadline on every wait for PostgreSQL: a frozen backend ignores every time-out that the server or libpq knows.

psycopg2 lets the program wait in its place (`set_wait_callback`): a thread waits in `poll`, a task on its loop. A call
that is not over by its deadline ends with an OperationalError, and its connection is closed. COPY and large objects do
not work in this mode. libpq looks names up without a deadline, so connections are opened in threads of their own.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import psycopg2
from psycopg2 import extensions

from app.utils.deadline import Deadline
from app.utils.tasks import wait_for_socket

LONGEST_SECONDS = 86_400.0  # of a call without a deadline


class TimedConnection(extensions.connection):
    """A connection whose calls must end by its `deadline`, if it has one."""

    deadline: Deadline | None = None

    def __init__(self, dsn: str, *arguments: Any, connect_seconds: float = LONGEST_SECONDS, **options: Any) -> None:
        """Connect. Raises OperationalError, at the latest after `connect_seconds`.

        Whoever keeps the error keeps this object, and with it the socket: the server would wait for the rest of the
        login until its `authentication_timeout`, and a DROP DATABASE with it. So an attempt that fails is closed here.
        """
        self.deadline = Deadline(connect_seconds)
        try:
            super().__init__(dsn, *arguments, **options)
        except BaseException:
            self.close()
            raise
        self.deadline = None


@contextmanager
def timed(connection: extensions.connection, deadline: Deadline) -> Iterator[None]:
    """Run a block in which a call of the connection that is not over by `deadline` raises OperationalError.

    The connection is closed then.
    """
    held = cast(TimedConnection, connection)  # every connection of the service is one
    before, held.deadline = held.deadline, deadline
    try:
        yield
    finally:
        held.deadline = before


def _wait(connection: Any) -> None:
    deadline: Deadline = getattr(connection, "deadline", None) or Deadline(_default_seconds(connection))
    while (state := connection.poll()) != extensions.POLL_OK:
        if not wait_for_socket(connection.fileno(), deadline, to_write=state == extensions.POLL_WRITE):
            raise psycopg2.OperationalError("the call took too long")


def _default_seconds(connection: Any) -> float:
    """Return the limit of a connection without a deadline: while it connects, libpq's `connect_timeout`.

    In this mode libpq does not keep that limit itself.
    """
    if connection.status in (extensions.STATUS_READY, extensions.STATUS_BEGIN):
        return LONGEST_SECONDS
    seconds = extensions.parse_dsn(connection.dsn).get("connect_timeout", "0")
    return float(seconds) if float(seconds) > 0 else LONGEST_SECONDS


extensions.set_wait_callback(_wait)
