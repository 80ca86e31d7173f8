"""The time line of an order as the page shows it: a row for each thing that came in, and how far the order is."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from app.models.order import OrderStatus
from app.operations.timeline import Entry

REPEAT, UNCHANGED, LOST_RACE = "repeat", "unchanged", "lost_race"
_ROAD = tuple(status for status in OrderStatus if status is not OrderStatus.CANCELLED)


@dataclass(frozen=True, slots=True)
class Row:
    """An entry. `gap`: seconds since the row before; `kind`: done, refused, unchanged, repeat or lost_race."""

    entry: Entry
    gap: float | None
    kind: str


@dataclass(frozen=True, slots=True)
class Stop:
    """A status on the road of the order. `at`: when the order came to it; `took`: seconds since the stop before."""

    status: str
    at: datetime | None
    took: float | None
    is_here: bool


def rows(entries: Sequence[Entry]) -> list[Row]:
    """Return a row for each entry, in their order."""
    before = [None, *(entry.at for entry in entries)]
    return [
        Row(entry, None if earlier is None else (entry.at - earlier).total_seconds(), _kind(entry))
        for entry, earlier in zip(entries, before, strict=False)
    ]


def stops(status: str, entries: Iterable[Entry]) -> list[Stop]:
    """Return where the order was, is and may come to. A cancelled order has no road ahead."""
    reached: dict[str, datetime] = {}
    for entry in entries:
        became = entry.became
        if became is not None and became.to_status != became.from_status:
            reached[became.to_status] = entry.at
    road = [stop.value for stop in _ROAD if stop.value in reached or status != OrderStatus.CANCELLED]
    if status == OrderStatus.CANCELLED:
        road.append(status)
    found: list[Stop] = []
    last: datetime | None = None
    for name in road:
        at = reached.get(name)
        took = None if at is None or last is None or at < last else (at - last).total_seconds()
        found.append(Stop(name, at, took, name == status))
        last = at or last
    return found


def _kind(entry: Entry) -> str:
    outcome = None if entry.came is None else entry.came.outcome
    if outcome is None:
        return "done"
    return outcome if outcome in (REPEAT, UNCHANGED, LOST_RACE) else "refused"
