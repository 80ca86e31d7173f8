"""What every request has: a correlation id, a deadline, perhaps a key and a body. Refuses what has no usable shape."""

import hashlib
import re
import uuid
from typing import Any
from urllib.parse import parse_qsl

from flask import g, request
from gunicorn.http.errors import ParseException

from app.api.errors import Refused
from app.models.answer_store import IdempotencyKey
from app.utils.deadline import Deadline, queued_seconds
from app.utils.decoder import MAX_BYTES, decode
from app.utils.logging import correlation_id

REQUEST_SECONDS = 2.8  # callers give up at 5, the contract says 4, a connection attempt may add its last second

SAID_TWICE = "\n"  # no header can hold it

_CORRELATION_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_KEY = re.compile(r"[\x20-\x7e]{1,255}")
_JSON_TYPE = re.compile(r"application/(?:[a-z0-9.+-]+\+)?json", re.IGNORECASE)
_POSITIVE = re.compile(r"0*[1-9][0-9]*")
_DRAIN_BYTES = 8 * 1024 * 1024
_MAX_DIGITS = 18  # so many always fit into the 64 bits of a JSON encoder and of PostgreSQL


def tell_repeated_keys(headers: list[tuple[str, str]]) -> None:
    """Mark in a server's list of header fields, by upper-case name, that the Idempotency-Key is in it more than once.

    WSGI has one value for each name and servers join what is sent twice with a comma, which a single key may have too:
    so only whoever has the list can tell.
    """
    keys = [field for field in headers if field[0] == "IDEMPOTENCY-KEY"]
    if len(keys) > 1:
        headers[:] = [field for field in headers if field not in keys] + [("IDEMPOTENCY-KEY", SAID_TWICE)]


def begin() -> None:
    """Note when the request must be answered and what it is called."""
    g.deadline = Deadline(REQUEST_SECONDS - queued_seconds.get())
    named = request.headers.get("X-Correlation-ID", "")
    g.correlation_id = named if _CORRELATION_ID.fullmatch(named) else str(uuid.uuid4())
    correlation_id.set(g.correlation_id)


def idempotency_key(body: bytes) -> IdempotencyKey | None:
    """Return the request's key, None without one. Raises Refused for a malformed one [H15]."""
    key = request.headers.get("Idempotency-Key")
    if key is None:
        return None
    if key == SAID_TWICE:
        raise Refused("invalid_idempotency_key", "Send one Idempotency-Key, not several")
    if not _KEY.fullmatch(key):
        raise Refused("invalid_idempotency_key", "Idempotency-Key must be 1 to 255 printable ASCII characters")
    return IdempotencyKey(request.path, key, hashlib.sha256(body).digest())


def body_bytes() -> bytes:
    """Return the body, as it is. Raises Refused where it is too large, malformed (chunked) or does not arrive whole."""
    try:
        body = request.stream.read(MAX_BYTES + 1)
        if len(body) > MAX_BYTES:
            _drain()
            raise Refused("body_too_large", f"The body must have at most {MAX_BYTES} bytes")
        if len(body) < (request.content_length or 0):
            raise Refused("bad_request", "The body is shorter than its Content-Length")
    except (ParseException, OSError) as error:
        raise Refused("bad_request", "The body is malformed or did not arrive") from error
    return body


def json_object(body: bytes) -> dict[str, Any]:
    """Return the object in the body. Raises Unreadable, and Refused where it is none or not said to be JSON."""
    if not body:
        raise Refused("no_data", "No data provided")
    if not _JSON_TYPE.fullmatch(request.mimetype):
        raise Refused("unsupported_media_type", "Send the body as application/json")
    value = decode(body)
    if value is None or value == {}:
        raise Refused("no_data", "No data provided")
    if not isinstance(value, dict):
        raise Refused("invalid_body", "The body must be a JSON object")
    return value


def query_text(name: str) -> str | None:
    """Return a query parameter, None where it is left out or empty. Raises Refused where it is not UTF-8.

    Werkzeug's own reader keeps such bytes percent encoded: as a text that somebody's id may be.
    """
    query = request.query_string.decode("utf-8", "surrogateescape")
    found = (value for key, value in parse_qsl(query, keep_blank_values=True, errors="surrogateescape") if key == name)
    value = next(found, "")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise Refused("invalid_field", f"{name} must be a text in UTF-8") from None
    return value or None


def refuse_undecodable_path(name: str) -> None:
    """Raise Refused where the path is not UTF-8: Werkzeug puts U+FFFD there, which somebody's id may have."""
    try:
        request.environ["PATH_INFO"].encode("latin1").decode()
    except UnicodeDecodeError:
        raise Refused("invalid_field", f"{name} must be a text in UTF-8") from None


def query_number(name: str, default: int, maximum: int | None = None) -> int:
    """Return a positive whole number from the query. Raises Refused."""
    value = query_text(name)
    if value is None:
        return default
    if not _POSITIVE.fullmatch(value):
        raise Refused(f"invalid_{name}", f"{name} must be a positive whole number")
    digits = value.lstrip("0")
    number = int(digits) if len(digits) <= _MAX_DIGITS else 10**_MAX_DIGITS  # past every end
    if maximum is not None and number > maximum:
        raise Refused(f"invalid_{name}", f"{name} must be at most {maximum}")
    return number


def _drain() -> None:
    # A body refused unread makes the server close the connection, now and then before the answer is out.
    left = _DRAIN_BYTES
    while left > 0 and (chunk := request.stream.read(min(left, 65536))):
        left -= len(chunk)
