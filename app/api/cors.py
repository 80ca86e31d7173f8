"""CORS for the browser front end: an allow-list of origins, on failures too [H1]."""

from flask import Response, request

ALLOWED_METHODS = "GET, POST"
ALLOWED_HEADERS = "Authorization, Content-Type, Idempotency-Key, X-Correlation-ID"
EXPOSED_HEADERS = "X-Correlation-ID, Retry-After"
PREFLIGHT_SECONDS = "600"


def add_headers(response: Response, allowed_origins: tuple[str, ...]) -> None:
    """Allow the request's origin to read the response where the list has it."""
    response.headers["Vary"] = "Origin"
    origin = request.headers.get("Origin")
    if origin is None or origin not in allowed_origins:
        return
    response.headers["Access-Control-Allow-Origin"] = origin
    response.headers["Access-Control-Expose-Headers"] = EXPOSED_HEADERS
    if request.method == "OPTIONS":
        response.headers["Access-Control-Allow-Methods"] = ALLOWED_METHODS
        response.headers["Access-Control-Allow-Headers"] = ALLOWED_HEADERS
        response.headers["Access-Control-Max-Age"] = PREFLIGHT_SECONDS
