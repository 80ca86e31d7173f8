"""Opens connections beside those who wait for them: with several hosts in the URL, each dark one takes its seconds."""

import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psycopg2
from psycopg2.extensions import connection as Connection

from app.models.trouble import DatabaseBusy, DatabaseTrouble
from app.utils.deadline import Deadline


class Connector:
    """Who waits for a connection waits until its deadline only; one that comes later is the next caller's.

    There are never more attempts and unused connections together than callers have waited at once.
    """

    def __init__(self, connect: Callable[[], Connection]) -> None:
        self._connect = connect
        self._changed = threading.Condition()
        self._outcomes: deque[Connection | Exception] = deque()
        self._opening = 0
        self._waiting = 0
        self._caller = threading.local()

    @contextmanager
    def until(self, deadline: Deadline) -> Iterator[None]:
        """Let `connect` of this thread wait until `deadline` in the body."""
        self._caller.deadline = deadline
        yield

    def connect(self) -> Connection:
        """Return a connection. Raises what connecting raises, and DatabaseBusy where it takes too long."""
        deadline: Deadline = self._caller.deadline
        with self._changed:
            self._waiting += 1
            try:
                if self._opening + len(self._outcomes) < self._waiting:
                    self._start()
                self._changed.wait_for(lambda: self._outcomes, max(deadline.remaining, 0))
                outcome = self._outcomes.popleft() if self._outcomes else None
            finally:
                self._waiting -= 1
        if outcome is None:
            raise DatabaseBusy("A new connection to the database takes too long")
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def drop_idle(self) -> None:
        """Close the connections that nobody waits for."""
        with self._changed:
            kept = list(self._outcomes)[: self._waiting]
            dropped = list(self._outcomes)[self._waiting :]
            self._outcomes = deque(kept)
        for outcome in dropped:
            if not isinstance(outcome, Exception):
                outcome.close()

    def _start(self) -> None:
        try:
            threading.Thread(target=self._open, name="database-connector", daemon=True).start()
        except RuntimeError as error:
            raise DatabaseBusy("The system has no thread to spare for a connection") from error
        self._opening += 1

    def _open(self) -> None:
        outcome: Connection | DatabaseTrouble | psycopg2.Error = DatabaseBusy("The database could not be connected to")
        try:
            outcome = self._connect()
        except (DatabaseTrouble, psycopg2.Error) as error:
            outcome = error
        finally:
            with self._changed:
                self._opening -= 1
                if not isinstance(outcome, Exception) or len(self._outcomes) < self._waiting:
                    self._outcomes.append(outcome)
                    self._changed.notify()
