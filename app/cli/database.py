"""One connection for one step of a command, with a deadline that also a frozen server cannot outlive."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg2
from flask import current_app
from sqlalchemy import Connection, create_engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from app.cli.output import Failure
from app.database.connection import connect
from app.database.reasons import reason_of
from app.database.url import place_of
from app.utils.deadline import Deadline
from app.utils.limits import CONNECT_SECONDS

STEP_SECONDS = 15
LOCK_SECONDS = 5


@contextmanager
def transaction(seconds: int = STEP_SECONDS, *, snapshot: bool = False) -> Iterator[Connection]:
    """Commit the body's statements together, or nothing when it raises.

    Ends a second after `seconds` at the latest; `snapshot`: read only, and all of it at one instant. Raises Failure
    with a sentence when the database is away, busy or without our schema.
    """
    url = current_app.extensions["settings"].worker_url
    deadline = Deadline(seconds + 1)  # the server gives up first, where it can

    def creator() -> Any:
        connection = _connect(url, seconds)
        connection.deadline = deadline
        return connection

    engine = create_engine("postgresql+psycopg2://", creator=creator, poolclass=NullPool)
    if snapshot:
        engine = engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
    try:
        with engine.begin() as connection:
            yield connection
    except (DBAPIError, psycopg2.Error) as error:
        raise Failure(_sentence(error, url, seconds, late=deadline.passed)) from None


def _connect(url: str, seconds: int) -> Any:
    network = {"connect_timeout": CONNECT_SECONDS, "tcp_user_timeout": seconds * 1000}
    connection = connect(url, _time_outs(seconds), name="order-service-operator", network=network)
    connection.autocommit = False
    return connection


def _time_outs(seconds: int) -> dict[str, int]:
    """What the server is asked to end by itself, in milliseconds."""
    return {
        "statement_timeout": seconds * 1000,
        "lock_timeout": LOCK_SECONDS * 1000,
        "idle_in_transaction_session_timeout": seconds * 1000,
    }


def _sentence(error: Exception, url: str, seconds: int, *, late: bool) -> str:
    code = getattr(getattr(error, "orig", error), "pgcode", None) or ""
    name, place, user = place_of(url)
    database = f"The database {name} at {place}"
    if code in ("42P01", "42703"):
        return f"{database} is not at this version's schema: start the service once, or run `alembic upgrade head`."
    if code == "42501":
        return f"{database} does not allow its user {user} to do this."
    if code == "55P03":
        return f"{database} has the row locked by somebody else: try again."
    if late or code == "57014":
        return f"{database} took longer than {seconds} s."
    if code == "25006":
        return f"{database} is read-only: nothing was changed."
    if code and not code.startswith(("08", "28", "3D", "53", "57")):
        return f"{database} refused the statement (SQLSTATE {code}): nothing was changed."
    return f"{database} cannot be reached, or was lost: {reason_of(error).sentence} (DATABASE_URL)."
