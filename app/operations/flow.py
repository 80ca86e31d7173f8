"""What went through the service, minute by minute: the figures that all its processes stored, put together."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, func, select

from app.config.config import Settings
from app.database.flow import to_figures
from app.models.flow import Figures, Waiting, quantile, total_of
from app.models.service_tables import flow_minutes
from app.operations.flow_marks import MOST_MARKS, Mark, marks_of
from app.operations.transaction import transaction

CREATED = "created"
DAY = 1440
MOST_ROWS = 20_000
BEFORE = timedelta(minutes=10)  # read too: which release ran before the first minute
SECONDS = 5

Row = tuple[datetime, str, Figures]
"""The minute, the process, and what it did."""


@dataclass(frozen=True, slots=True)
class Minute:
    """What all processes did in the minute that begins `at`. `processes`: how many told it; with none nothing is known.

    `p50`, `p99`: seconds in which that share of the calls was answered. The last four: the worst of the minute.
    """

    at: datetime
    processes: int
    created: int
    changes: Mapping[str, int]
    refusals: Mapping[str, int]
    repeats: int
    calls: int
    unavailable: int
    p50: float | None
    p99: float | None
    lag: int | None
    lag_seconds: float | None
    outbox: int | None
    outbox_seconds: float | None

    @property
    def refused(self) -> int:
        """How many requests and commands were refused."""
        return sum(self.refusals.values())

    @property
    def changed(self) -> int:
        """How many changes were made to orders, new ones included."""
        return sum(self.changes.values())


@dataclass(frozen=True, slots=True)
class Flow:
    """The minutes, without a gap, and what happened meanwhile, both in the order of time.

    `more_marks`: how many older marks are left out; `more_rows`: whether figures are left out.
    """

    minutes: Sequence[Minute]
    marks: Sequence[Mark]
    more_marks: int
    more_rows: bool


def flow(settings: Settings, *, minutes: int = 60) -> Flow:
    """Return what went through in the last minutes, DAY at most, without the minute that is not over.

    Blocks for SECONDS at the longest; changes nothing. Raises DatabaseUnusable.
    """
    minutes = max(1, min(minutes, DAY))
    with transaction(settings, SECONDS, snapshot=True) as connection:
        end: datetime = connection.execute(select(func.date_trunc("minute", func.now()))).scalar_one()
        begin = end - timedelta(minutes=minutes)
        rows, more_rows = _rows(connection, begin - BEFORE)
        marks = marks_of(connection, rows, begin)
    by_minute: dict[datetime, list[Figures]] = {begin + timedelta(minutes=number): [] for number in range(minutes)}
    for at, _, figures in rows:
        if at in by_minute:
            by_minute[at].append(figures)
    if minutes > 1 and not by_minute[end - timedelta(minutes=1)]:
        del by_minute[end - timedelta(minutes=1)]  # it ended a moment ago, and no process has told it yet
    found = [_merged(at, told) for at, told in by_minute.items()]
    return Flow(found, marks[-MOST_MARKS:], max(len(marks) - MOST_MARKS, 0), more_rows)


def _rows(connection: Connection, begin: datetime) -> tuple[list[Row], bool]:
    """Return the rows since then in the order of time, and whether older ones are left out."""
    kept = flow_minutes.c
    query = select(kept.minute, kept.holder, kept.figures).where(kept.minute >= begin).order_by(kept.minute.desc())
    found: list[Any] = list(connection.execute(query.limit(MOST_ROWS + 1)))
    rows = [(row.minute, row.holder, to_figures(row.figures)) for row in reversed(found[:MOST_ROWS])]
    return rows, len(found) > MOST_ROWS


def _merged(at: datetime, told: Sequence[Figures]) -> Minute:
    work, waits = total_of(figures.work for figures in told), _worst(figures.waiting for figures in told)
    return Minute(
        at,
        len(told),
        work.changes.get(CREATED, 0),
        work.changes,
        work.refusals,
        work.repeats,
        work.calls,
        work.unavailable,
        _rounded(quantile(work.latency, 0.5), 4),
        _rounded(quantile(work.latency, 0.99), 4),
        waits.commands,
        _rounded(waits.commands_seconds, 1),
        waits.events,
        _rounded(waits.events_seconds, 1),
    )


def _rounded(seconds: float | None, digits: int) -> float | None:
    return None if seconds is None else round(seconds, digits)


def _worst(waits: Iterable[Waiting]) -> Waiting:
    found = Waiting()
    for waiting in waits:
        found = found.worst(waiting)
    return found
