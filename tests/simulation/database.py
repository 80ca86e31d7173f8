"""A small PostgreSQL: transactions, READ COMMITTED, row locks, sessions that the server ends.

A transaction sees the committed rows and its own; its rows become everybody's at its commit, all at once. Whoever
wants a row that another transaction has changed, or a key that another one is inserting, waits for its end and then
sees what it left. It knows nothing of SQL: statements.py has what each of the product's statements does to the rows.
"""

from collections import Counter
from collections.abc import Callable, Hashable, Iterator
from types import SimpleNamespace
from typing import Any

import psycopg2
from psycopg2 import errors
from psycopg2.errorcodes import ADMIN_SHUTDOWN, LOCK_NOT_AVAILABLE, UNIQUE_VIOLATION

from app.utils.limits import IDLE_MS, LOCK_MS
from tests.simulation.scheduler import Instance, Scheduler

LOCK_SECONDS = LOCK_MS / 1000
LOOK_SECONDS = 0.05  # how often a waiting statement looks whether it may go on
SILENCE_SECONDS = IDLE_MS / 1000  # after which the server ends a session that holds something
NOTICES_SECONDS = 0.5  # at the longest, until the server has noticed that a process is gone

Row = Any
Rows = list[tuple[Any, ...]]


class Gone(psycopg2.OperationalError):
    """The session was ended."""

    pgcode = ADMIN_SHUTDOWN


class LockTimeout(errors.LockNotAvailable):
    """Another transaction has the row for too long."""

    pgcode = LOCK_NOT_AVAILABLE


class KeyExists(errors.UniqueViolation):
    """The key is there already."""

    pgcode = UNIQUE_VIOLATION
    diag: Any = None  # psycopg2's own cannot be written

    def __init__(self, constraint: str) -> None:
        super().__init__(constraint)
        self.diag = SimpleNamespace(constraint_name=constraint)


class Server:
    """The committed rows by table and key, who holds which of them, and the sessions."""

    def __init__(self, scheduler: Scheduler) -> None:
        self.scheduler = scheduler
        self.tables: dict[str, dict[Hashable, Row]] = {}
        self.holders: dict[tuple[str, Hashable], Session] = {}
        self.leaders: dict[str, Session] = {}  # session-level advisory locks
        self.sessions: dict[Session, None] = {}
        self.away_until = 0.0
        self.read_back: Counter[Session] = Counter()  # rows that a leader found in the log
        self.set_aside = 0  # rows of partitions that could not be written to
        self.last_id = 0
        self.begun = 0  # transactions

    def table(self, name: str) -> dict[Hashable, Row]:
        """Return the committed rows of a table."""
        return self.tables.setdefault(name, {})

    def next_id(self) -> int:
        """Draw from the identity sequence: in the order of asking, not of committing."""
        self.last_id += 1
        return self.last_id

    def restart(self, seconds: float) -> None:
        """Lose every session, and take no new one for a while."""
        self.scheduler.note(f"the database RESTARTS, is away for {seconds:.1f} s")
        self.away_until = self.scheduler.now + seconds
        for session in list(self.sessions):
            session.cut()

    def cut(self, instance: Instance) -> None:
        """Break the connections of a process."""
        self.scheduler.note(f"the database connections of {instance.name} are CUT")
        for session in self._of(instance):
            session.cut()

    def lose(self, instance: Instance) -> None:
        """End the sessions of a process that was killed, when the server notices."""
        for session in self._of(instance):
            self.scheduler.at(self.scheduler.now + NOTICES_SECONDS * self.scheduler.random.random(), session.end)

    def _of(self, instance: Instance) -> list["Session"]:
        return [session for session in self.sessions if session.instance is instance]


class Session:
    """One connection and its backend. `run` is what a client can do with it."""

    def __init__(self, server: Server, idle_limit: bool = False) -> None:
        """`idle_limit`: the server ends it for silence outside of transactions too. Raises Gone."""
        if server.scheduler.now < server.away_until:
            raise Gone("the server is away")
        self.server = server
        self.instance = server.scheduler.instance
        self.in_transaction = False
        self.ended = False
        self._answer_lost = False
        self._idle_limit = idle_limit
        self._busy = False
        self._heard = server.scheduler.now
        self._changes: dict[tuple[str, Hashable], Row] = {}
        self._held: list[tuple[str, Hashable]] = []
        self.inserts_into: dict[str, str] = {}  # the tables that the transaction has locked, and its name
        server.sessions[self] = None
        if idle_limit:
            self._watch()

    def begin(self) -> None:
        """Begin a transaction with the next statement."""
        self.in_transaction = True
        self._heard = self.server.scheduler.now
        self._watch()

    def run(self, label: str, effect: Callable[["Session"], Rows]) -> Rows:
        """Have the server do something; outside of a transaction it is committed with it. Raises psycopg2's errors."""
        scheduler = self.server.scheduler
        scheduler.point(label)
        if self.ended:
            raise Gone("the session was ended")
        self._busy = True
        try:
            rows = effect(self)
            if not self.in_transaction:
                self.settle()
        except psycopg2.Error:
            self.forget()
            raise
        finally:
            self._busy = False
            self._heard = scheduler.now
        scheduler.point("%s answered %s", label, rows)
        if self._answer_lost:
            raise Gone("the connection broke before the answer")
        return rows

    def commit(self) -> None:
        """Commit the transaction."""
        self.run("COMMIT", lambda session: session.settle())

    def rollback(self) -> None:
        """Roll the transaction back; silently where the server did so already."""
        if not self.server.scheduler.ending:  # a dead process says nothing: the server must notice
            self.forget()

    def close(self) -> None:
        """End the session politely."""
        if not self.server.scheduler.ending:
            self.end()

    def cut(self) -> None:
        """Break the connection: what runs in it may be done, but its answer never arrives."""
        self._answer_lost = True
        self.end()

    def end(self) -> None:
        """End the session on the server's side: its transaction is rolled back, its locks are free."""
        if not self.ended:
            self.ended = True
            self.forget()
            self.server.sessions.pop(self, None)
            for name in [name for name, leader in self.server.leaders.items() if leader is self]:
                del self.server.leaders[name]

    # What statements do with it

    def find(self, table: str, key: Hashable) -> Row:
        """Return the row as this transaction sees it, or None."""
        place = (table, key)
        return self._changes[place] if place in self._changes else self.server.table(table).get(key)

    def is_free(self, table: str, key: Hashable) -> bool:
        """Tell whether nobody else holds the row."""
        return self.server.holders.get((table, key), self) is self

    def lock(self, table: str, key: Hashable) -> Row:
        """Wait until nobody else holds the row, hold it, and return it as it is now, or None."""
        scheduler = self.server.scheduler
        give_up = scheduler.now + LOCK_SECONDS
        while not self.is_free(table, key):
            scheduler.sleep(LOOK_SECONDS)
            if self.ended:
                raise Gone("the session was ended")
            if scheduler.now > give_up:
                raise LockTimeout(f"{table} {key} is locked")
        self.hold(table, key)
        return self.find(table, key)

    def hold(self, table: str, key: Hashable) -> None:
        """Take a lock that is free."""
        if self.server.holders.setdefault((table, key), self) is self:
            self._held.append((table, key))

    def put(self, table: str, key: Hashable, row: Row) -> None:
        """Write a row; None deletes it."""
        self.hold(table, key)
        self._changes[table, key] = row

    def begin_inserting(self, table: str) -> None:
        """Take the lock that every insert takes before it does anything, until the transaction ends."""
        if table not in self.inserts_into:
            self.server.begun += 1
            self.inserts_into[table] = f"transaction {self.server.begun}"

    def insert(self, table: str, key: Hashable, row: Row, constraint: str) -> None:
        """Insert a row. Raises KeyExists when its key is there, at the latest when its inserter has committed."""
        if self.lock(table, key) is not None:
            raise KeyExists(constraint)
        self.put(table, key, row)

    def rows(self, table: str) -> Iterator[Row]:
        """Return the rows in the order of their keys, those of others as far as they are committed."""
        keys: dict[Any, None] = dict.fromkeys(self.server.table(table))
        keys |= dict.fromkeys(key for name, key in self._changes if name == table)
        seen = (self.find(table, key) for key in sorted(keys))
        return (row for row in seen if row is not None)

    def settle(self) -> Rows:
        """Make the changes everybody's, and let the locks go."""
        for (table, key), row in self._changes.items():
            if row is None:
                self.server.table(table).pop(key, None)
            else:
                self.server.table(table)[key] = row
        self.forget()
        return []

    def forget(self) -> None:
        """Drop the changes, and let the locks go."""
        self.in_transaction = False
        self._changes.clear()
        self.inserts_into.clear()
        for place in self._held:
            self.server.holders.pop(place, None)
        self._held.clear()

    def _watch(self) -> None:
        """End the session when it is silent for too long while it holds something."""
        if self.ended or not (self._idle_limit or self.in_transaction):
            return
        now = self.server.scheduler.now
        ends_at = (now if self._busy else self._heard) + SILENCE_SECONDS
        if now < ends_at:
            self.server.scheduler.at(ends_at, self._watch)
        else:
            self.server.scheduler.note(f"the server ENDS a silent session of {self.instance.name}")
            self.end()
