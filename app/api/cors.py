"""CORS for the browser front end: an allow-list of origins. Failures have the headers too [H1]."""

from collections.abc import Collection

_FOR_PREFLIGHTS = (
    ("Access-Control-Allow-Methods", "GET, POST"),
    ("Access-Control-Allow-Headers", "Authorization, Content-Type, Idempotency-Key, X-Correlation-ID"),
    ("Access-Control-Max-Age", "600"),
)


def headers(method: str, origin: str | None, allowed_origins: Collection[str]) -> list[tuple[str, str]]:
    """Return the headers that let the origin read a response, none if the list does not have that origin."""
    if origin is None or origin not in allowed_origins:
        return []
    return [
        ("Access-Control-Allow-Origin", origin),
        ("Access-Control-Expose-Headers", "X-Correlation-ID, Retry-After"),
        *(_FOR_PREFLIGHTS if method == "OPTIONS" else ()),
    ]
