"""The responses to requests that fail: JSON, whatever the exception was [H1]."""

import logging
import time

from app.api.responses import Response, to_response
from app.models.errors import (
    ConnectionRefused,
    DatabaseError,
    DatabaseFails,
    DatabaseFull,
    Forbidden,
    ForeignRuleBroken,
    ServiceError,
    Unauthenticated,
)
from app.models.writes import HttpAnswer
from app.services.counted import count_refusal
from app.utils.alarms import Alarms
from app.utils.text import loggable
from app.wire.answers import failure
from app.wire.bodies import SAYS_SUCCESS
from app.wire.codes import OF_STATUS

log = logging.getLogger(__name__)

DATABASE_FAILS = "database_fails"
QUIET_SECONDS = 3.0

_NEEDS_OPERATOR = (ConnectionRefused, DatabaseFails, DatabaseFull, ForeignRuleBroken)
_SQLSTATES_FOR_OPERATOR = ("531", "532", "42703")  # a full disk, no memory, a missing column


def router_failure(path: str, status: int, *headers: tuple[str, str]) -> Response:
    """Return the response to a request that the router refuses with this status."""
    return to_response(failure(OF_STATUS.get(status, "bad_request"), says_success=path in SAYS_SUCCESS), *headers)


class FailureResponses:
    """Makes responses of exceptions, and rings while the database fails in a way that only an operator can mend."""

    def __init__(self, alarms: Alarms) -> None:
        self._alarms = alarms
        self._failed_at: float | None = None

    def of_exception(self, error: Exception, method: str, path: str) -> Response:
        """Return the response to a request that ended in this exception."""
        return to_response(self._answer(error, method, path), *_challenge(error))

    def note_success(self) -> None:
        """Clear the alarm, with the first change or batch that succeeds QUIET_SECONDS after the last failure.

        May be called from any thread.
        """
        if self._failed_at is not None and time.monotonic() - self._failed_at > QUIET_SECONDS:
            self._failed_at = None
            self._alarms.clear(DATABASE_FAILS)

    def _answer(self, error: Exception, method: str, path: str) -> HttpAnswer:
        if isinstance(error, DatabaseError):
            self._note(error)
        code = error.code if isinstance(error, ServiceError) else "internal_error"
        if isinstance(error, ServiceError) and not isinstance(error, DatabaseError):
            count_refusal(code, "http")
        sentence = f"{error}; please try again" if isinstance(error, DatabaseError) else str(error)
        if code == "internal_error":
            log.error("unexpected error answering %s %s", method, loggable(path), exc_info=error)
            sentence = ""  # the code's own
        return failure(code, sentence, says_success=path in SAYS_SUCCESS)

    def _note(self, error: DatabaseError) -> None:
        if isinstance(error, _NEEDS_OPERATOR) or error.sqlstate.startswith(_SQLSTATES_FOR_OPERATOR):
            self._alarms.ring(DATABASE_FAILS, f"Requests are answered 503: {error.reason}")
            self._failed_at = time.monotonic()


def _challenge(error: Exception) -> tuple[tuple[str, str], ...]:
    """Return the header that says which credential is wanted (RFC 6750), where that is what failed."""
    if isinstance(error, Unauthenticated):
        why = ', error="invalid_token"' if error.came else ""
    elif isinstance(error, Forbidden):
        why = f', error="insufficient_scope", scope="{error.scope}"'
    else:
        return ()
    return (("WWW-Authenticate", f'Bearer realm="orders"{why}'),)
