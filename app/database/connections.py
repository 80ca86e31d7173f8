"""The connections of a pool. The last used is lent first; callers that wait get one in the order of their coming."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from psycopg2.extensions import connection as Connection

from app.models.errors import ConnectingTakesLong, DatabaseBusy, DatabaseTrouble
from app.utils.deadline import Deadline
from app.utils.line import Line
from app.utils.metrics import CONNECTION_WAIT
from app.utils.tasks import Gate


@dataclass(eq=False, slots=True)
class Lent:
    """A connection and the state of its session: prepared statements by name, its statement_timeout if changed."""

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
    """At most `size` connections. Each is opened in a thread of its own, because an attempt may take seconds."""

    def __init__(self, connect: Callable[[], Connection], size: int) -> None:
        self._connect = connect
        self._size = size
        self._lock = threading.Lock()
        self._idle: list[Lent] = []
        self.line = Line[_Waiting]()
        self._open = 0  # lent, idle and being opened
        self._opening = 0
        self._generation = 0

    @property
    def any_open(self) -> bool:
        """Whether a connection is open, lent or idle."""
        return self._open > self._opening

    @property
    def idle(self) -> int:
        """How many are open and not lent."""
        return len(self._idle)

    @property
    def used(self) -> int:
        """How many are lent."""
        with self._lock:
            return self._open - self._opening - len(self._idle)

    def take(self, deadline: Deadline, patience_seconds: float) -> Lent:
        """Return a connection.

        Waits until `deadline` while one is being opened; where all are in use, for `patience_seconds` at the longest.
        Raises DatabaseBusy, and what connecting raises.
        """
        with self._lock:
            if self._idle:
                return self._idle.pop()
            mine = _Waiting()
            self.line.append(mine)
            self._open_more()
            seconds = deadline.remaining if self._opening else min(deadline.remaining, patience_seconds)
        with CONNECTION_WAIT.time():
            mine.gate.wait(max(seconds, 0))
        with self._lock:
            if mine.outcome is None:
                self.line.remove(mine)
                if self._opening:
                    raise ConnectingTakesLong("A new connection to the database takes too long")
                raise DatabaseBusy("All database connections are in use")
        if isinstance(mine.outcome, Exception):
            raise mine.outcome
        return mine.outcome

    def give_back(self, lent: Lent) -> None:
        """Take a connection back. One that is closed, or older than the last `drop_idle`, is not lent again."""
        with self._lock:
            is_usable = not lent.connection.closed and lent.generation == self._generation
            if is_usable and self.line:
                self.line.serve().give(lent)
            elif is_usable:
                self._idle.append(lent)
            else:
                self._open -= 1
                self._open_more()
        if not is_usable:
            lent.connection.close()

    def drop_idle(self) -> None:
        """Close the idle connections. Those in use are closed when they are given back."""
        with self._lock:
            dropped, self._idle = self._idle, []
            self._open -= len(dropped)
            self._generation += 1
            self._open_more()
        for lent in dropped:
            lent.connection.close()

    def _open_more(self) -> None:
        """Start to open a connection for each caller that waits. The calling thread holds the lock."""
        while self._opening < len(self.line) and self._open < self._size:
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
        except DatabaseTrouble as error:
            outcome = error
        finally:
            with self._lock:
                self._opening -= 1
                if isinstance(outcome, Exception):
                    self._open -= 1
                    self._fail(outcome)
                elif self.line:
                    self.line.serve().give(outcome)
                else:
                    self._idle.append(outcome)

    def _fail(self, error: Exception) -> None:
        """Fail one waiting caller, or all where no connection is in use that could come back. With the lock held."""
        if self.any_open:
            waiting = [self.line.popleft()] if self.line else []
        else:
            waiting = list(self.line)
            self.line.clear()
        for caller in waiting:
            caller.give(error)
