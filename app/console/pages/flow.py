"""The flow: what went through the service in the last hour, minute by minute."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

from flask import Response

from app.console.asked import asked
from app.console.blueprint import console
from app.console.charts import Chart, ChartMark, Series, draw
from app.console.helpers import render
from app.console.parts import parts
from app.operations import flow as operation
from app.operations.flow import Flow, Minute
from app.operations.flow_marks import MarkKind

MINUTES = 60
MARKS_SHOWN = 50
MS = 1000.0

SIGNS = {
    MarkKind.RELEASE: "R",
    MarkKind.LEADER: "L",
    MarkKind.ACT: "A",
    MarkKind.ALARM: "!",
    MarkKind.ALARM_OVER: "✓",
}

_Figure = Callable[[Minute], float | None]


@console.get("/flow")
def flow() -> Response:
    """The charts, with what happened meanwhile."""
    asking = asked(partial(operation.flow, parts().settings, minutes=MINUTES))
    values = _values(asking.found) if asking.found else {}
    return render("flow", live="_flow", trouble=asking.trouble, flow=asking.found, draw=draw, minutes=MINUTES, **values)


def _values(found: Flow) -> dict[str, Any]:
    marks = list(reversed(found.marks))
    return {
        "charts": charts(found),
        "marks": marks[:MARKS_SHOWN],
        "more_marks": max(len(marks) - MARKS_SHOWN, 0) + found.more_marks,
        "moves": _sum(minute.changes for minute in found.minutes),
        "refusals": _sum(minute.refusals for minute in found.minutes),
        "calls": sum(minute.calls for minute in found.minutes),
        "repeats": sum(minute.repeats for minute in found.minutes),
        "processes": found.minutes[-1].processes if found.minutes else 0,
    }


def charts(found: Flow) -> list[Chart]:
    """Return the four charts of the page."""
    marks = [ChartMark(mark.at, mark.kind.value, mark.text, SIGNS[mark.kind]) for mark in found.marks]

    def chart(name: str, title: str, unit: str, *lines: tuple[str, _Figure], whole: bool = False) -> Chart:
        series = [Series(named, [_told(minute, figure) for minute in found.minutes]) for named, figure in lines]
        return Chart(f"flow-{name}", title, unit, [minute.at for minute in found.minutes], series, marks, whole)

    return [
        chart(
            "orders",
            "Orders and refusals",
            "per minute",
            ("Orders created", lambda minute: minute.created),
            ("Refused", lambda minute: minute.refused),
            whole=True,
        ),
        chart(
            "waiting",
            "What waits, oldest of the minute",
            "seconds",
            ("Commands", lambda minute: minute.lag_seconds),
            ("Outbox", lambda minute: minute.outbox_seconds),
        ),
        chart(
            "latency",
            "Answers over HTTP",
            "milliseconds",
            ("Half within", lambda minute: _ms(minute.p50)),
            ("99 % within", lambda minute: _ms(minute.p99)),
        ),
        chart("unavailable", "Answered 503", "per minute", ("503", lambda minute: minute.unavailable), whole=True),
    ]


def _told(minute: Minute, figure: _Figure) -> float | None:
    """Return the figure, None where no process told the minute: 0 would say that all is well."""
    return figure(minute) if minute.processes else None


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else seconds * MS


def _sum(counts: Iterable[Mapping[str, int]]) -> list[tuple[str, int]]:
    """Return what was counted in all minutes, the most first."""
    found = Counter[str]()
    for count in counts:
        found.update(count)
    return found.most_common()
