"""One transaction for one step of an operation. Its deadline also ends the wait for a server that freezes.

A process keeps one connection for the next transaction, for KEPT_SECONDS after it was opened: opening one, and
PostgreSQL's first look at each table in it, take longer than most operations.

A page of the console waits for less than a person at a terminal does: `hurried` shortens the limits of all operations
that are called in its body.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, fields
from functools import lru_cache
from time import monotonic
from typing import Any

import psycopg2
from sqlalchemy import ColumnElement, Connection, Engine, Select, Table, create_engine, event, select, text
from sqlalchemy.exc import DBAPIError, DisconnectionError
from sqlalchemy.pool import ConnectionPoolEntry

from app.config.config import Settings
from app.database.connection import connect
from app.database.reasons import reason_of
from app.database.timed import timed
from app.database.translation import NO_RIGHT, told
from app.database.url import place_of
from app.models.operator_errors import DatabaseUnusable
from app.utils.deadline import Deadline

STEP_SECONDS = 15
LOCK_SECONDS = 5
KEPT_SECONDS = 60
"""Whoever is let in, and where the primary is, is asked anew so often."""
KEPT_ANSWERS_SECONDS = 0.5
"""A kept connection that does not answer for so long is replaced by a new one."""
PROOF_SECONDS = 60.0
"""So long a process believes that sessions at an address are its own: the proof takes as long as connecting twice."""

_proved_at: dict[str, float] = {}


@dataclass(frozen=True, slots=True)
class Limits:
    """The longest that a transaction takes, and that it waits for a lock."""

    seconds: int
    lock_ms: int


@dataclass(frozen=True, slots=True)
class _Beginning:
    """What a transaction asks of its connection."""

    url: str
    time_outs: Mapping[str, int]
    deadline: Deadline


_SNAPSHOT: Any = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
_beginning: ContextVar["_Beginning"] = ContextVar("beginning")
"""The transaction that begins now: its limits are its own, whichever connection it has."""
_limits: ContextVar[Limits | None] = ContextVar("limits", default=None)


@contextmanager
def hurried(seconds: int = 2, lock_ms: int = 300) -> Iterator[None]:
    """Let every transaction of the body end after `seconds`, and wait `lock_ms` for a lock, if not sooner anyway."""
    token = _limits.set(Limits(seconds, lock_ms))
    try:
        yield
    finally:
        _limits.reset(token)


def within_limits(seconds: int) -> int:
    """Return for how many seconds to wait for something, so that the transaction itself does not end meanwhile."""
    limits = _limits.get()
    return seconds if limits is None else max(min(seconds, limits.seconds - 1), 1)


@contextmanager
def transaction(settings: Settings, seconds: int = STEP_SECONDS, *, snapshot: bool = False) -> Iterator[Connection]:
    """Commit the body's statements together; commit nothing if the body raises.

    `snapshot`: read only, everything as of one instant. Ends a second after `seconds` at the latest. Waits for a lock
    for LOCK_SECONDS at the longest. Raises DatabaseUnusable if the database is away, is busy, or has another schema.
    """
    url = settings.worker_url
    limits = _limits.get() or Limits(seconds, LOCK_SECONDS * 1000)
    seconds = min(seconds, limits.seconds)
    deadline = Deadline(seconds + 1)  # the server gives up first, where it can
    token = _beginning.set(_Beginning(url, _time_outs(seconds, limits.lock_ms), deadline))
    try:
        with _engine(url, snapshot=snapshot).begin() as connection:
            yield connection
    except DBAPIError as error:
        raise DatabaseUnusable(_sentence(error, url, seconds, late=deadline.passed)) from None
    finally:
        _beginning.reset(token)


@lru_cache(maxsize=8)
def _engine(url: str, *, snapshot: bool) -> Engine:
    """Return the engine for an address: a new one asks the server for its version, and compiles each query anew."""
    if snapshot:
        return _engine(url, snapshot=False).execution_options(**_SNAPSHOT)
    engine = create_engine(
        "postgresql+psycopg2://", creator=_open, pool_size=1, max_overflow=-1, pool_recycle=KEPT_SECONDS
    )
    event.listen(engine, "checkout", _limit)
    return engine


def _open() -> Any:
    beginning = _beginning.get()
    prove = _proved_at.get(beginning.url, 0.0) + PROOF_SECONDS < monotonic()
    connection: Any = connect(beginning.url, prove=prove, name="order-service-operator")
    if prove:
        _proved_at[beginning.url] = monotonic()
    connection.deadline = beginning.deadline
    return connection


def _limit(connection: Any, record: ConnectionPoolEntry, _: object) -> None:
    """Give the connection the limits of the transaction that begins, and take back what the last one left in it.

    Raises DisconnectionError for a kept connection that is of no use any more: the pool opens another one.
    """
    beginning, was_kept = _beginning.get(), "was_used" in record.info
    limits = [f"SET {name} = {value}" for name, value in beginning.time_outs.items()]
    answers_by = Deadline(KEPT_ANSWERS_SECONDS) if was_kept else beginning.deadline
    try:
        connection.isolation_level = connection.readonly = None
        connection.autocommit = True  # a rollback would take the settings back
        with timed(connection, answers_by), connection.cursor() as cursor:
            cursor.execute("; ".join(["DEALLOCATE ALL", *limits]))
        connection.autocommit = False
    except psycopg2.Error as error:
        if was_kept:
            raise DisconnectionError from error
        raise
    record.info["was_used"] = True
    connection.deadline = beginning.deadline


@contextmanager
def by_indexes(connection: Connection) -> Iterator[None]:
    """Let the queries of the body use indexes.

    A table that was just filled, or never analyzed, makes PostgreSQL read all of it although it has the index.
    """
    connection.execute(text("SET LOCAL enable_seqscan = off"))
    yield
    connection.execute(text("SET LOCAL enable_seqscan = on"))


def select_as(kind: type, table: Table, *more: ColumnElement[Any]) -> Select[Any]:
    """Return a query for the fields of a dataclass: the columns of that name, and `more` for its last fields."""
    return select(*(table.c[field.name] for field in fields(kind) if field.name in table.c), *more)


def _time_outs(seconds: int, lock_ms: int) -> dict[str, int]:
    """Return what the server is asked to end by itself, in milliseconds."""
    return {
        "statement_timeout": seconds * 1000,
        "lock_timeout": lock_ms,
        "idle_in_transaction_session_timeout": seconds * 1000,
    }


def _sentence(error: DBAPIError, url: str, seconds: int, *, late: bool) -> str:
    code = getattr(error.orig, "pgcode", None) or ""
    name, place, user = place_of(url)
    database = f"The database {name} at {place}"
    if code in ("42P01", "42703"):
        return f"{database} is not at this version's schema: run `alembic upgrade head`."
    if code == NO_RIGHT:
        refusal: Any = error.orig
        return f"{database} does not allow its user {user} to do this: {told(refusal)}."
    if code == "55P03":
        return f"{database} has the row or table locked by somebody else: try again."
    if late or code == "57014":
        return f"{database} took longer than {seconds} s."
    if code == "25006":
        return f"{database} is read-only: nothing was changed."
    if code and not code.startswith(("08", "28", "3D", "53", "57")):
        return f"{database} refused the statement (SQLSTATE {code}): nothing was changed."
    return f"{database} cannot be reached, or was lost: {reason_of(error).sentence} (DATABASE_URL)."
