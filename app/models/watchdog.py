"""A deadline on every call to PostgreSQL: a frozen backend ignores every time-out that the server or libpq knows."""

import contextlib
import logging
import socket
import threading
from collections.abc import Iterator

import psycopg2
from psycopg2.extensions import connection as Connection

from app.utils.deadline import Deadline

log = logging.getLogger(__name__)

WATCH_SECONDS = 0.05
UNWATCHED_SECONDS = 2.0  # without a call, after which the watchdog's thread ends


class Watchdog:
    """Shuts the socket of every guarded call that outlives its deadline. Its thread ends when nobody calls any more."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._calls: dict[Connection, Deadline] = {}
        self._thread: threading.Thread | None = None

    @contextlib.contextmanager
    def guard(self, connection: Connection, deadline: Deadline) -> Iterator[None]:
        """Run the body; when it outlives `deadline` its connection dies and psycopg2 raises in it."""
        with self._lock:
            if self._thread is None or not self._thread.is_alive():
                thread = threading.Thread(target=self._watch, name="database-watchdog", daemon=True)
                thread.start()
                self._thread = thread  # only now: the system may have no more threads
            self._calls[connection] = deadline
        try:
            yield
        finally:
            with self._lock:
                self._calls.pop(connection, None)

    def _watch(self) -> None:
        pause = threading.Event()
        unused = Deadline(UNWATCHED_SECONDS)
        while not pause.wait(WATCH_SECONDS):
            with self._lock:
                if self._calls:
                    unused = Deadline(UNWATCHED_SECONDS)
                elif unused.passed:
                    self._thread = None
                    return
                late = [connection for connection, deadline in self._calls.items() if deadline.passed]
                for connection in late:
                    del self._calls[connection]
                    _shut(connection)


def _shut(connection: Connection) -> None:
    try:
        wire = socket.socket(fileno=connection.fileno())
        try:
            wire.shutdown(socket.SHUT_RDWR)
        finally:
            wire.detach()  # it is psycopg2's
    except (OSError, ValueError, psycopg2.Error):  # libpq may have dropped it already: then it has no descriptor
        log.debug("the connection was gone already")
