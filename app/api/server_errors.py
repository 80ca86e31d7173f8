"""Failures of requests that never reach Flask: a malformed request line, headers or a line that are too long.

gunicorn answers these with a page of HTML and with statuses that the contract does not have; callers read JSON [H1].
Which call it was is not known, so all have the `success` that some of them promise.
"""

import uuid

from app.utils.encoder import encode

BAD_REQUEST = {"error": "The HTTP request is malformed or too long", "code": "bad_request", "success": False}
BUG = {"error": "The service made a mistake; it has been logged", "code": "internal_error", "success": False}


def response_bytes(status: int) -> bytes:
    """Return the whole HTTP response in place of gunicorn's own for `status`."""
    line, failure = ("500 Internal Server Error", BUG) if status == 500 else ("400 Bad Request", BAD_REQUEST)
    body = encode(failure)
    head = (
        f"HTTP/1.1 {line}\r\nConnection: close\r\nContent-Type: application/json\r\n"
        f"X-Correlation-ID: {uuid.uuid4()}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body
