"""The connections of a pool: lent one at a time, the last used first; who waits gets one in the order of coming."""

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import psycopg2
from psycopg2.extensions import connection as Connection

from app.models.errors import ConnectingTakesLong, DatabaseBusy, DatabaseTrouble
from app.utils.deadline import Deadline
from app.utils.metrics import CONNECTION_WAIT
from app.utils.tasks import Gate


@dataclass(eq=False, slots=True)
class Lent:
    """A connection, and what is known of its session."""

    connection: Connection
    generation: int
    prepared: set[str] = field(default_factory=set)
    statement_ms: int | None = None


class _Waiting:
    __slots__ = ("gate", "outcome")

    def __init__(self) -> None:
        self.gate = Gate()
        self.outcome: Lent | Exception | None = None

    def give(self, outcome: Lent | Exception) -> None:
        self.outcome = outcome
        self.gate.open()


class Connections:
    """At most `size` connections, opened by threads of their own: each attempt may take its seconds."""

    def __init__(self, connect: Callable[[], Connection], size: int) -> None:
        self._connect = connect
        self._size = size
        self._lock = threading.Lock()
        self._idle: list[Lent] = []
        self._waiting: deque[_Waiting] = deque()
        self._open = 0  # lent, idle and being opened
        self._opening = 0
        self._generation = 0

    def take(self, deadline: Deadline, patience_seconds: float) -> Lent:
        """Return a connection. Waits for one that is opened until `deadline`, for one that others use so long at most.

        Raises DatabaseBusy, and what connecting raises.
        """
        mine = _Waiting()
        with self._lock:
            if self._idle:
                return self._idle.pop()
            self._waiting.append(mine)
            self._open_more()
            seconds = deadline.remaining if self._opening else min(deadline.remaining, patience_seconds)
        with CONNECTION_WAIT.time():
            mine.gate.wait(max(seconds, 0))
        with self._lock:
            if mine.outcome is None:
                self._waiting.remove(mine)
                if self._opening:
                    raise ConnectingTakesLong("A new connection to the database takes too long")
                raise DatabaseBusy("All database connections are in use")
        if isinstance(mine.outcome, Exception):
            raise mine.outcome
        return mine.outcome

    def give_back(self, lent: Lent) -> None:
        """Take a connection back; one that is closed, or from before `drop_idle`, is not lent again."""
        with self._lock:
            good = not lent.connection.closed and lent.generation == self._generation
            if good and self._waiting:
                self._waiting.popleft().give(lent)
            elif good:
                self._idle.append(lent)
            else:
                self._open -= 1
                self._open_more()
        if not good:
            lent.connection.close()

    def drop_idle(self) -> None:
        """Close the idle connections; those in use close when they come back."""
        with self._lock:
            dropped, self._idle = self._idle, []
            self._open -= len(dropped)
            self._generation += 1
            self._open_more()
        for lent in dropped:
            lent.connection.close()

    def _open_more(self) -> None:
        """Begin to open what those need who wait; called with the lock."""
        while self._opening < len(self._waiting) and self._open < self._size:
            try:
                threading.Thread(target=self._open_one, name="database-connector", daemon=True).start()
            except RuntimeError:
                self._fail(DatabaseBusy("The system has no thread to spare for a connection"))
                return
            self._opening += 1
            self._open += 1

    def _open_one(self) -> None:
        generation = self._generation
        outcome: Lent | Exception = DatabaseBusy("The database could not be connected to")
        try:
            outcome = Lent(self._connect(), generation)
        except (DatabaseTrouble, psycopg2.Error) as error:
            outcome = error
        finally:
            with self._lock:
                self._opening -= 1
                if isinstance(outcome, Exception):
                    self._open -= 1
                    self._fail(outcome)
                elif self._waiting:
                    self._waiting.popleft().give(outcome)
                else:
                    self._idle.append(outcome)

    def _fail(self, error: Exception) -> None:
        """Tell all who wait for nothing but new connections; called with the lock."""
        if self._open > self._opening:
            waiting = [self._waiting.popleft()] if self._waiting else []
        else:
            waiting = list(self._waiting)
            self._waiting.clear()
        for it in waiting:
            it.give(error)
