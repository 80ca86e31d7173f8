"""One transaction for one step of an operation. Its deadline also ends the wait for a server that freezes.

A page of the console waits for less than a person at a terminal does: `hurried` shortens the limits of all operations
that are called in its body.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, Select, Table, select, text
from sqlalchemy.exc import DBAPIError

from app.config.config import Settings
from app.database.kept import Beginning, begun, keeping_engine
from app.database.reasons import reason_of
from app.database.translation import NO_RIGHT, told
from app.database.url import place_of
from app.models.operator_errors import DatabaseUnusable
from app.utils.deadline import Deadline

STEP_SECONDS = 15
LOCK_SECONDS = 5


@dataclass(frozen=True, slots=True)
class Limits:
    """The longest that a transaction takes, and that it waits for a lock."""

    seconds: int
    lock_ms: int


_SNAPSHOT: Any = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
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
    beginning = Beginning(url, _time_outs(seconds, limits.lock_ms), deadline)
    try:
        with begun(beginning), _engine(url, snapshot=snapshot).begin() as connection:
            yield connection
    except DBAPIError as error:
        raise DatabaseUnusable(_sentence(error, url, seconds, late=deadline.passed)) from None


@lru_cache(maxsize=8)
def _engine(url: str, *, snapshot: bool) -> Engine:
    """Return the engine for an address: a new one asks the server for its version, and compiles each query anew."""
    if snapshot:
        return _engine(url, snapshot=False).execution_options(**_SNAPSHOT)
    return keeping_engine()


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
