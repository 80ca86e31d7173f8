"""Requests that were refused, as facts for whoever asks about an order or a key."""

from dataclasses import dataclass

LOST_RACE = "lost_race"
"""Stands in place of a code: another change was faster, so the request was decided again."""


@dataclass(frozen=True, slots=True)
class RefusedAlike:
    """Requests that were refused alike, `times` in all. `correlation_id`: of the last."""

    path: str
    code: str
    order_id: str | None
    key: str | None
    correlation_id: str
    times: int


@dataclass(frozen=True, slots=True)
class RefusedRequests(RefusedAlike):
    """Those of one second. `age`: seconds since the last of them."""

    age: float
