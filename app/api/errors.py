"""Every failure as JSON: one body, one table from code to status [H1]."""

import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass

import psycopg2

from app.database.answers import Answer, KeyInUse
from app.database.reasons import told
from app.models.errors import DatabaseFails, DatabaseFull, DatabaseTrouble
from app.models.models import db
from app.services.order_service import KeyReused
from app.utils.alarms import Alarms
from app.utils.budget import Share
from app.utils.decoder import Unreadable
from app.utils.encoder import encode
from app.utils.text import clip
from app.wire.fields import InvalidFields

log = logging.getLogger(__name__)

STATUS_OF_CODE = {
    "order_not_found": 404,
    "not_found": 404,
    "method_not_allowed": 405,
    "idempotency_key_in_use": 409,
    "body_too_large": 413,
    "unsupported_media_type": 415,
    "idempotency_key_reused": 422,
    "internal_error": 500,
    "database_away": 503,
    "database_busy": 503,
    "outcome_unknown": 503,
    "service_busy": 503,
}
"""Every code that is not a plain 400."""

DATABASE_FAILS = "database_fails"
THEIR_RULE = "The database refuses these values by a rule that is not the service's; nothing was done"
QUIET_SECONDS = 3.0
RETRY_AFTER_SECONDS = "1"
SAYS_SUCCESS = frozenset({"/createOrder", "/testCreateOrder", "/verifyAndAcceptOrder"})

_LASTS = ("531", "532", "42703")  # a full disk, no memory, a column that is missing: it does not pass by itself
_TROUBLE_CODES = {
    "DatabaseAway": "database_away",
    "DatabaseReadOnly": "database_away",
    "DatabaseBusy": "database_busy",
    "DatabaseFails": "database_busy",
    "OutcomeUnknown": "outcome_unknown",
}
_OF_STATUS = {
    404: ("not_found", "There is no such path"),
    405: ("method_not_allowed", "This path does not allow the method"),
    413: ("body_too_large", "The request is too large"),
    415: ("unsupported_media_type", "Send the body as application/json"),
}


class Refused(Exception):
    """The request is refused before the order is looked at."""

    def __init__(self, code: str, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code


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


def failure(path: str, code: str, sentence: str) -> Answer:
    """Return the body and status of a failure; the sentence is clipped."""
    body: dict[str, object] = {"error": clip(sentence), "code": code}
    if path in SAYS_SUCCESS:
        body["success"] = False
    return Answer(STATUS_OF_CODE.get(code, 400), encode(body))


def respond(answer: Answer, *headers: tuple[str, str]) -> Response:
    """Return the answer as a response."""
    if answer.status in (409, 503):
        headers = (*headers, ("Retry-After", RETRY_AFTER_SECONDS))
    return Response(answer.status, answer.body, headers=headers)


def of_status(path: str, status: int, *headers: tuple[str, str]) -> Response:
    """Return the response to what the router refuses."""
    code, sentence = _OF_STATUS.get(status, ("bad_request", "The request cannot be understood"))
    return respond(failure(path, code, sentence), *headers)


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

    def _answer(self, error: Exception, method: str, path: str) -> Answer:
        if isinstance(error, Refused | Unreadable | InvalidFields):
            return failure(path, error.code, str(error))
        if isinstance(error, DatabaseTrouble):
            self._note(error)
            code = next(_TROUBLE_CODES[it.__name__] for it in type(error).__mro__ if it.__name__ in _TROUBLE_CODES)
            return failure(path, code, f"{error}; please try again")
        if isinstance(error, psycopg2.Error) and _is_theirs(error):
            return self._answer(DatabaseFails(THEIR_RULE, told(error), error.pgcode), method, path)
        if isinstance(error, KeyReused):
            return failure(path, "idempotency_key_reused", "This Idempotency-Key was used with another body")
        if isinstance(error, KeyInUse):
            sentence = "A request with this Idempotency-Key is still being worked on"
            return failure(path, "idempotency_key_in_use", sentence)
        log.error("unexpected error answering %s %s", method, path, exc_info=error)
        return failure(path, "internal_error", "The service made a mistake; it has been logged")

    def _note(self, error: DatabaseTrouble) -> None:
        if isinstance(error, DatabaseFails | DatabaseFull) or error.sqlstate.startswith(_LASTS):
            self._alarms.ring(DATABASE_FAILS, f"Requests are answered 503: {error.reason}")
            self._failed_at = time.monotonic()


def _is_theirs(error: psycopg2.Error) -> bool:
    """A constraint or a shorter column of somebody else's is neither the caller's mistake nor ours."""
    tables = db.metadata.tables.values()
    ours = {rule.name for table in tables for rule in table.constraints}
    ours |= {index.name for table in tables for index in table.indexes}
    code = error.pgcode or ""
    return code == "22001" or (code.startswith("23") and error.diag.constraint_name not in ours)
