"""A request, and the readers of its parts: key, body, query. They refuse what has no usable shape.

A `Request` is the same from the loop server (app/server/bridge.py) and from Flask (app/api/flask_adapter.py).
"""

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import parse_qsl

import uuid_utils

from app.models.commands import Command
from app.models.errors import Refused
from app.models.writes import IdempotencyKey
from app.utils.deadline import Deadline
from app.utils.limits import REQUEST_SECONDS
from app.utils.logging import about
from app.utils.tracing import Span
from app.wire.bodies import Body
from app.wire.decoder import MAX_BYTES, decode
from app.wire.fields import parse_body
from app.wire.traces import TRACEPARENT, is_traceparent

_CORRELATION_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_KEY = re.compile(r"[\x20-\x7e]{1,255}")
_JSON_TYPE = re.compile(r"application/(?:[a-z0-9.+-]+\+)?json", re.IGNORECASE)
_POSITIVE = re.compile(r"0*[1-9][0-9]*")
_MAX_DIGITS = 18  # always fit into the 64 bits of the JSON encoder and of PostgreSQL


@dataclass(slots=True)
class Request:
    """One request. `path` and `query` hold lone surrogates where they are not UTF-8. Only the guard changes it."""

    method: str
    path: str
    query: str
    header: Callable[[str], Sequence[str]]
    """Returns the values of a header, one for each time that it was sent. Takes the name in lower case."""
    read_body: Callable[[], bytes]
    """Returns the whole body. Raises Refused where the body is too large or did not arrive."""
    deadline: Deadline
    correlation_id: str
    address: Callable[[], str]
    """Returns the address of the client, as a trusted proxy names it, or of the connection's other end."""
    caller: str | None = None
    """The name of the caller, None until the guard knows it, and where it asks nobody."""
    traceparent: str | None = None
    """The trace that it belongs to, None without one."""
    span: Span | None = None
    """Its span, None if that is not recorded."""

    def first(self, name: str) -> str | None:
        """Return the first value of a header, or None."""
        values = self.header(name)
        return values[0] if values else None


def begin(
    method: str,
    path: str,
    query: str,
    header: Callable[[str], Sequence[str]],
    read_body: Callable[[], bytes],
    address: Callable[[], str] = str,
) -> Request:
    """Return the request. Its deadline begins now, and log lines have its ids until the next request.

    A traceparent that is malformed, or one of several, is none.
    """
    sent = header("x-correlation-id")
    name = sent[0] if sent and _CORRELATION_ID.fullmatch(sent[0]) else str(uuid_utils.uuid4())
    traces = header(TRACEPARENT)
    trace = traces[0] if len(traces) == 1 and is_traceparent(traces[0]) else None
    about(name, trace)
    return Request(method, path, query, header, read_body, Deadline(REQUEST_SECONDS), name, address, traceparent=trace)


def idempotency_key(request: Request, body: bytes) -> IdempotencyKey | None:
    """Return the request's key, or None [H15]. Raises Refused where the key is malformed."""
    keys = request.header("idempotency-key")
    refusal = _refusal_of_key(keys)
    if refusal is not None:
        raise refusal
    return IdempotencyKey(request.path, keys[0], hashlib.sha256(body).digest()) if keys else None


def refusal_of_head(header: Callable[[str], Sequence[str]]) -> Refused | None:
    """Return why a request is refused whatever its body is, None where that depends on the body.

    A client that asks before it sends the body (`Expect: 100-continue`) is then told so instead.
    """
    return _refusal_of_key(header("idempotency-key")) or _refusal_of_type(header)


def _refusal_of_key(keys: Sequence[str]) -> Refused | None:
    if len(keys) > 1:
        return Refused("invalid_idempotency_key", "Send one Idempotency-Key, not several")
    if keys and not _KEY.fullmatch(keys[0]):
        return Refused("invalid_idempotency_key", "Idempotency-Key must be 1 to 255 printable ASCII characters")
    return None


def _refusal_of_type(header: Callable[[str], Sequence[str]]) -> Refused | None:
    media_type = next(iter(header("content-type")), "").partition(";")[0].strip()
    if not _JSON_TYPE.fullmatch(media_type):
        return Refused("unsupported_media_type", "Send the body as application/json")
    if header("content-encoding"):
        return Refused("unsupported_media_type", "Send the body as it is, without a Content-Encoding")
    return None


def too_large() -> Refused:
    """Return the refusal of a body that is too large."""
    return Refused("body_too_large", f"The body must have at most {MAX_BYTES} bytes")


def command(request: Request, body: bytes, model: type[Body]) -> Command:
    """Return the command that the body asks for. Raises Refused."""
    if not body:
        raise Refused("no_data", "No data provided")
    refusal = _refusal_of_type(request.header)
    if refusal is not None:
        raise refusal
    value = decode(body)
    if value is None or value == {}:
        raise Refused("no_data", "No data provided")
    if not isinstance(value, dict):
        raise Refused("invalid_body", "The body must be a JSON object")
    return parse_body(model, value).command()


def query_text(request: Request, name: str) -> str | None:
    """Return a query parameter, None where it is missing or empty. Raises Refused where it is not UTF-8."""
    if not request.query:
        return None
    return utf8(_parameters(request.query).get(name, ""), name) or None


@lru_cache(maxsize=1)  # a request reads its parameters without waiting, so its query is parsed once for all of them
def _parameters(query: str) -> dict[str, str]:
    """Return the first value of each parameter."""
    return dict(reversed(parse_qsl(query, keep_blank_values=True, errors="surrogateescape")))


def utf8(value: str, name: str) -> str:
    """Return a text of the request's target. Raises Refused where it is not UTF-8: decoded, it could be another id."""
    try:
        value.encode()
    except UnicodeEncodeError:
        raise Refused("invalid_field", f"{name} must be a text in UTF-8") from None
    return value


def query_number(request: Request, name: str, default: int, maximum: int | None = None) -> int:
    """Return a positive whole number from the query. Raises Refused."""
    value = query_text(request, name)
    if value is None:
        return default
    if not _POSITIVE.fullmatch(value):
        raise Refused(f"invalid_{name}", f"{name} must be a positive whole number")
    digits = value.lstrip("0")
    number = int(digits) if len(digits) <= _MAX_DIGITS else 10**_MAX_DIGITS  # beyond the last page of any list
    if maximum is not None and number > maximum:
        raise Refused(f"invalid_{name}", f"{name} must be at most {maximum}")
    return number
