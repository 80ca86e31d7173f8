"""CORS for the browser front end: an allow-list of origins. Failures have the headers too [H1]."""

from collections.abc import Collection

ALLOWED_METHODS = "GET, POST"
ALLOWED_HEADERS = "Authorization, Content-Type, Idempotency-Key, X-Correlation-ID"
EXPOSED_HEADERS = "X-Correlation-ID, Retry-After"
PREFLIGHT_SECONDS = "600"

_FOR_PREFLIGHTS = (
    ("Access-Control-Allow-Methods", ALLOWED_METHODS),
    ("Access-Control-Allow-Headers", ALLOWED_HEADERS),
    ("Access-Control-Max-Age", PREFLIGHT_SECONDS),
)


def headers(method: str, origin: str | None, allowed_origins: Collection[str]) -> list[tuple[str, str]]:
    """Return the headers that let the origin read a response, none if the list does not have that origin."""
    if origin is None or origin not in allowed_origins:
        return []
    return [
        ("Access-Control-Allow-Origin", origin),
        ("Access-Control-Expose-Headers", EXPOSED_HEADERS),
        *(_FOR_PREFLIGHTS if method == "OPTIONS" else ()),
    ]
