"""Responses, and every exception as one: a failure is always JSON [H1]."""

import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass

from app.models.errors import DatabaseError, DatabaseFails, DatabaseFull, ForeignRuleBroken, ServiceError
from app.models.writes import HttpAnswer
from app.utils.alarms import Alarms
from app.utils.budget import Share
from app.wire.answers import failure
from app.wire.codes import OF_STATUS

log = logging.getLogger(__name__)

DATABASE_FAILS = "database_fails"
QUIET_SECONDS = 3.0
RETRY_AFTER_SECONDS = "1"

_NEED_A_PERSON = (DatabaseFails, DatabaseFull, ForeignRuleBroken)
_LASTS = ("531", "532", "42703")  # a full disk, no memory, a missing column: a person must do something


@dataclass(frozen=True, slots=True)
class Response:
    """A response without the headers that every response has (common.py)."""

    status: int
    body: bytes
    content_type: str = "application/json"
    headers: tuple[tuple[str, str], ...] = ()
    pieces: Iterator[bytes] | None = None
    """The body, piece by piece, where its length is not known. An exception in it must not look like its end."""
    share: Share | None = None
    """The share of the budget that the body holds until the caller has all of it."""

    def release(self) -> None:
        """Give the share back."""
        if self.share is not None:
            self.share.release()


def respond(answer: HttpAnswer, *headers: tuple[str, str]) -> Response:
    """Return the answer as a response."""
    if answer.status in (409, 503):
        headers = (*headers, ("Retry-After", RETRY_AFTER_SECONDS))
    return Response(answer.status, answer.body, headers=headers)


def of_status(path: str, status: int, *headers: tuple[str, str]) -> Response:
    """Return the response to a request that the router refuses with this status."""
    return respond(failure(path, OF_STATUS.get(status, "bad_request")), *headers)


class Failures:
    """Makes responses of exceptions. Rings an alarm while the database fails in a way that a person must mend."""

    def __init__(self, alarms: Alarms) -> None:
        self._alarms = alarms
        self._failed_at: float | None = None

    def respond(self, error: Exception, method: str, path: str) -> Response:
        """Return the response to a request that ended in this exception."""
        return respond(self._answer(error, method, path))

    def note_success(self) -> None:
        """Clear the alarm, with the first change that succeeds QUIET_SECONDS after the last failure."""
        if self._failed_at is not None and time.monotonic() - self._failed_at > QUIET_SECONDS:
            self._failed_at = None
            self._alarms.clear(DATABASE_FAILS)

    def _answer(self, error: Exception, method: str, path: str) -> HttpAnswer:
        if isinstance(error, DatabaseError):
            self._note(error)
        code = error.code if isinstance(error, ServiceError) else "internal_error"
        if code == "internal_error":
            log.error("unexpected error answering %s %s", method, path, exc_info=error)
            return failure(path, code)
        return failure(path, code, f"{error}; please try again" if isinstance(error, DatabaseError) else str(error))

    def _note(self, error: DatabaseError) -> None:
        if isinstance(error, _NEED_A_PERSON) or error.sqlstate.startswith(_LASTS):
            self._alarms.ring(DATABASE_FAILS, f"Requests are answered 503: {error.reason}")
            self._failed_at = time.monotonic()
