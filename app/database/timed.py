"""A deadline on every wait for PostgreSQL: a frozen backend ignores every time-out that the server or libpq knows.

psycopg2 lets us wait in its place (`set_wait_callback`): a thread waits in `poll`, a task on its loop. A call that
outlives its deadline ends with an OperationalError, and its connection is closed. COPY and large objects do not work in
that mode; names are looked up by libpq, without a deadline, so connections are opened by threads.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import psycopg2
from psycopg2 import extensions

from app.utils.deadline import Deadline
from app.utils.tasks import wait_for_socket

LONGEST_SECONDS = 86_400.0  # where nobody set a deadline


class TimedConnection(extensions.connection):
    """A connection whose calls must end by `deadline`, where there is one."""

    deadline: Deadline | None = None

    def __init__(self, dsn: str, *arguments: Any, connect_seconds: float = LONGEST_SECONDS, **options: Any) -> None:
        """Connect, within so many seconds. Raises OperationalError."""
        self.deadline = Deadline(connect_seconds)
        super().__init__(dsn, *arguments, **options)
        self.deadline = None


@contextmanager
def timed(connection: extensions.connection, deadline: Deadline) -> Iterator[None]:
    """Run the body; a call of the connection that outlives `deadline` raises OperationalError and closes it."""
    held = cast(TimedConnection, connection)  # every connection of the service is one
    before, held.deadline = held.deadline, deadline
    try:
        yield
    finally:
        held.deadline = before


def _wait(connection: Any) -> None:
    deadline: Deadline = getattr(connection, "deadline", None) or Deadline(_seconds_of_others(connection))
    while (state := connection.poll()) != extensions.POLL_OK:
        if not wait_for_socket(connection.fileno(), deadline, to_write=state == extensions.POLL_WRITE):
            raise psycopg2.OperationalError("the call took too long")


def _seconds_of_others(connection: Any) -> float:
    """A connection that others opened has no deadline, but libpq's `connect_timeout`, which is ours to keep here."""
    if connection.status in (extensions.STATUS_READY, extensions.STATUS_BEGIN):
        return LONGEST_SECONDS
    seconds = extensions.parse_dsn(connection.dsn).get("connect_timeout", "0")
    return float(seconds) if float(seconds) > 0 else LONGEST_SECONDS


extensions.set_wait_callback(_wait)
