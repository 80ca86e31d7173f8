"""Every failure as JSON: one body, one table from code to status [H1]."""

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
_LASTS = ("531", "532", "42703")  # a full disk, no memory, a column that is missing: it does not pass by itself


@dataclass(frozen=True, slots=True)
class Response:
    """What goes to the caller, but for the headers that every response has."""

    status: int
    body: bytes
    content_type: str = "application/json"
    headers: tuple[tuple[str, str], ...] = ()
    pieces: Iterator[bytes] | None = None
    """In place of a body, one whose length is not known: what raises in it must not look like its end."""
    share: Share | None = None
    """What the body holds of the budget until the caller has it."""

    def release(self) -> None:
        """Give back what it holds."""
        if self.share is not None:
            self.share.release()


def respond(answer: HttpAnswer, *headers: tuple[str, str]) -> Response:
    """Return the answer as a response."""
    if answer.status in (409, 503):
        headers = (*headers, ("Retry-After", RETRY_AFTER_SECONDS))
    return Response(answer.status, answer.body, headers=headers)


def of_status(path: str, status: int, *headers: tuple[str, str]) -> Response:
    """Return the response to what the router refuses."""
    return respond(failure(path, OF_STATUS.get(status, "bad_request")), *headers)


class Failures:
    """From exceptions to responses: every failure is JSON. Rings while the database fails at what is asked."""

    def __init__(self, alarms: Alarms) -> None:
        self._alarms = alarms
        self._failed_at: float | None = None

    def respond(self, error: Exception, method: str, path: str) -> Response:
        """Return the response to a request that ended in an exception."""
        return respond(self._answer(error, method, path))

    def note_success(self) -> None:
        """Take the alarm back with the first change that is done after a moment without a failure."""
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
