"""A question to PostgreSQL that may fail alone: a table is locked, a right is missing, it takes too long."""

from collections.abc import Callable
from typing import TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from app.database.reasons import reason_of

Found = TypeVar("Found")

_REASONS = {"55P03": "a table is locked by somebody else", "57014": "it took too long"}


class NotAsked(Exception):
    """One question was not answered; the text says why."""


def ask(connection: Connection, question: Callable[[Connection], Found]) -> Found:
    """Return what the question finds, within a savepoint. Raises NotAsked, after which the transaction goes on.

    Raises DBAPIError where the connection is lost.
    """
    try:
        with connection.begin_nested():
            return question(connection)
    except DBAPIError as error:
        if connection.invalidated or connection.closed:
            raise
        code = getattr(error.orig, "pgcode", None) or ""
        raise NotAsked(_REASONS.get(code) or reason_of(error).sentence) from error
