"""Every failure as JSON: one body, one table from code to status [H1]."""

import logging
import time

import psycopg2
from flask import Flask, Response, current_app, request
from werkzeug.exceptions import HTTPException

from app.models.answer_store import Answer, KeyInUse
from app.models.database import DatabaseTrouble
from app.models.fields import InvalidFields
from app.models.models import db
from app.models.rules import Refusal
from app.models.trouble import DatabaseFails, DatabaseFull
from app.services.alarms import Alarms
from app.services.order_service import KeyReused
from app.utils.decoder import Unreadable
from app.utils.encoder import encode
from app.utils.text import clip

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
_HTTP_CODES = {
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


def failure(code: str, sentence: str) -> Answer:
    """Return the body and status of a failure; the sentence is clipped."""
    body: dict[str, object] = {"error": clip(sentence), "code": code}
    if request.path in SAYS_SUCCESS:
        body["success"] = False
    return Answer(STATUS_OF_CODE.get(code, 400), encode(body))


def refusal(refused: Refusal) -> Answer:
    """Return the answer to a request that the rules refuse."""
    return failure(refused.code, refused.message)


def respond(answer: Answer) -> Response:
    """Return the answer as a response."""
    response = current_app.response_class(answer.body, answer.status, content_type="application/json")
    if answer.status in (409, 503):
        response.headers["Retry-After"] = RETRY_AFTER_SECONDS
    elif answer.status < 300 and request.method == "POST":
        _note_success()
    return response


def register(app: Flask) -> None:
    """Make every failure of the app JSON."""
    app.register_error_handler(Refused, _of_input)
    app.register_error_handler(Unreadable, _of_input)
    app.register_error_handler(InvalidFields, _of_input)
    app.register_error_handler(DatabaseTrouble, _of_database)
    app.register_error_handler(psycopg2.Error, _of_refused_values)
    app.register_error_handler(KeyReused, _of_reused_key)
    app.register_error_handler(KeyInUse, _of_key_in_use)
    app.register_error_handler(HTTPException, of_http)
    app.register_error_handler(Exception, _of_bug)


def _of_input(error: Refused | Unreadable | InvalidFields) -> Response:
    return respond(failure(error.code, str(error)))


def _of_database(error: DatabaseTrouble) -> Response:
    if isinstance(error, DatabaseFails | DatabaseFull) or error.sqlstate.startswith(_LASTS):
        _alarms().ring(DATABASE_FAILS, f"Requests are answered 503: {error.reason}")
        current_app.extensions[DATABASE_FAILS] = time.monotonic()
    code = next(_TROUBLE_CODES[kind.__name__] for kind in type(error).__mro__ if kind.__name__ in _TROUBLE_CODES)
    return respond(failure(code, f"{error}; please try again"))


def _of_refused_values(error: psycopg2.Error) -> Response:
    """A constraint or a shorter column of somebody else's is neither the caller's mistake nor ours."""
    if _is_theirs(error):
        return _of_database(DatabaseFails(THEIR_RULE, error))
    return _of_bug(error)


def _is_theirs(error: psycopg2.Error) -> bool:
    tables = db.metadata.tables.values()
    ours = {rule.name for table in tables for rule in table.constraints}
    ours |= {index.name for table in tables for index in table.indexes}
    code = error.pgcode or ""
    return code == "22001" or (code.startswith("23") and error.diag.constraint_name not in ours)


def _note_success() -> None:
    """Take the alarm back with the first change that is done after a moment without a failure."""
    failed_at = current_app.extensions.get(DATABASE_FAILS)
    if failed_at is not None and time.monotonic() - failed_at > QUIET_SECONDS:
        current_app.extensions[DATABASE_FAILS] = None
        _alarms().clear(DATABASE_FAILS)


def _alarms() -> Alarms:
    alarms: Alarms = current_app.extensions["alarms"]
    return alarms


def _of_reused_key(_: KeyReused) -> Response:
    return respond(failure("idempotency_key_reused", "This Idempotency-Key was used with another body"))


def _of_key_in_use(_: KeyInUse) -> Response:
    return respond(failure("idempotency_key_in_use", "A request with this Idempotency-Key is still being worked on"))


def of_http(error: HTTPException) -> Response:
    """Return the failure that Flask or the router found."""
    code, sentence = _HTTP_CODES.get(error.code or 500, ("bad_request", "The request cannot be understood"))
    response = respond(failure(code, sentence))
    if error.code == 405:
        response.headers.extend(header for header in error.get_headers() if header[0] == "Allow")
    return response


def _of_bug(error: Exception) -> Response:
    log.error("unexpected error answering %s %s", request.method, request.path, exc_info=error)
    return respond(failure("internal_error", "The service made a mistake; it has been logged"))
