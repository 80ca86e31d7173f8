"""The connections of operators' transactions. A process keeps one of them for the next transaction.

To open one, and for PostgreSQL to look at each table in it for the first time, takes longer than most operations.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from time import monotonic
from typing import Any

import psycopg2
from sqlalchemy import Engine, create_engine, event
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.pool import ConnectionPoolEntry

from app.database.connection import connect
from app.database.timed import timed
from app.utils.deadline import Deadline

KEPT_SECONDS = 60
"""Whoever is let in, and where the primary is, is asked anew so often."""
KEPT_ANSWERS_SECONDS = 0.5
"""A kept connection that does not answer for so long is replaced by a new one."""
PROOF_SECONDS = 60.0
"""So long a process believes that sessions at an address are its own: the proof takes as long as connecting twice."""

_LIMIT = (
    "DEALLOCATE ALL; SELECT current_setting('transaction_read_only'), count(set_config(name, value, false)) "
    "FROM unnest(%s::text[], %s::text[]) AS limits (name, value)"
)
_proved_at: dict[str, float] = {}


@dataclass(frozen=True, slots=True)
class Beginning:
    """What a transaction asks of its connection. `time_outs`: PostgreSQL's settings, in ms."""

    url: str
    time_outs: Mapping[str, int]
    deadline: Deadline


_beginning: ContextVar[Beginning] = ContextVar("beginning")


@contextmanager
def begun(beginning: Beginning) -> Iterator[None]:
    """Let the transaction of the body have a connection as it asks for, whichever it has."""
    token = _beginning.set(beginning)
    try:
        yield
    finally:
        _beginning.reset(token)


def keeping_engine() -> Engine:
    """Return an engine for transactions that have `begun`, all of them of one address. Opens nothing by itself."""
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


def _limit(connection: Any, record: ConnectionPoolEntry, _fairy: object) -> None:
    """Give the connection the limits of the transaction that begins, and take back what the last one left in it.

    Raises DisconnectionError for a kept connection that is of no use any more: the pool opens another one.
    """
    beginning, was_kept = _beginning.get(), "was_used" in record.info
    answers_by = Deadline(KEPT_ANSWERS_SECONDS) if was_kept else beginning.deadline
    try:
        connection.isolation_level = connection.readonly = None
        connection.autocommit = True  # a rollback would take the settings back
        with timed(connection, answers_by), connection.cursor() as cursor:
            cursor.execute(_LIMIT, (list(beginning.time_outs), [str(limit) for limit in beginning.time_outs.values()]))
            read_only, _ = cursor.fetchone()
        connection.autocommit = False
    except psycopg2.Error as error:
        if was_kept:
            raise DisconnectionError from error
        raise
    if was_kept and read_only == "on":
        raise DisconnectionError  # a new one finds out whether it still is
    record.info["was_used"] = True
    connection.deadline = beginning.deadline
