"""Requests that were refused, as facts for whoever asks about an order or a key."""

from dataclasses import dataclass

LOST_RACE = "lost_race"
"""Stands in place of a code: another change was faster, so the request was decided again."""


@dataclass(frozen=True, slots=True)
class RefusedRequests:
    """Requests of one second that were refused alike. `age`: seconds since the last of them."""

    path: str
    code: str
    order_id: str | None
    key: str | None
    correlation_id: str
    times: int
    age: float
