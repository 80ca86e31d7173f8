"""Charts of lines over time, as SVG from the server: no script, no inline style; style.css has their colours.

Whoever sees no picture gets a title, a sentence with the figures that matter, and the figures as a table (`rows`).
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from markupsafe import Markup

WIDTH, HEIGHT = 720, 190
LEFT, RIGHT, TOP, BOTTOM = 56, 12, 16, 22
STEPS = 4  # lines of the grid, about
LABELS = 7  # times below the axis, at most
MINUTES = (1, 2, 5, 10, 15, 30, 60, 120, 240, 480)  # between two of them
MOST_HINTS = 200  # points that tell their figures to the mouse
NOTHING = "–"


@dataclass(frozen=True, slots=True)
class Series:
    """A named line; None, or what is no finite number, interrupts it."""

    name: str
    values: Sequence[float | None]


@dataclass(frozen=True, slots=True)
class ChartMark:
    """Something that happened at a time. `kind`: a word for its class; `sign`: a letter above its line."""

    at: datetime
    kind: str
    text: str
    sign: str = ""


@dataclass(frozen=True, slots=True)
class Chart:
    """`name`: part of the ids in the page; `whole`: the figures are counts; each series has a value for each time."""

    name: str
    title: str
    unit: str
    times: Sequence[datetime]
    series: Sequence[Series]
    marks: Sequence[ChartMark] = ()
    whole: bool = False

    @property
    def most(self) -> float:
        """The largest figure, 0 without any."""
        return max((value for one in self.series for value in map(known, one.values) if value is not None), default=0.0)

    @property
    def rows(self) -> list[tuple[datetime, list[str]]]:
        """The figures as a table: each time, the newest first, with the text of each series."""
        lines = zip(self.times, *(one.values for one in self.series), strict=True)
        return [(at, [shown(known(value)) for value in values]) for at, *values in reversed(list(lines))]

    @property
    def latest(self) -> list[tuple[str, str]]:
        """Each series with its last figure."""
        return [(one.name, shown(known(one.values[-1])) if one.values else NOTHING) for one in self.series]


def known(value: float | None) -> float | None:
    """Return the value, None where it is no finite number."""
    return value if value is not None and math.isfinite(value) else None


def shown(value: float | None) -> str:
    """Return the figure as a person reads it, with three digits that count."""
    if value is None:
        return NOTHING
    if value == 0 or abs(value) >= 100 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) >= 0.001 else f"{value:.6f}".rstrip("0")


def draw(chart: Chart) -> Markup:
    """Return the chart as an `svg` element."""
    parts = [
        Markup('<svg class="chart" viewBox="0 0 {} {}" role="img" aria-labelledby="{}-title {}-desc">').format(
            WIDTH, HEIGHT, chart.name, chart.name
        ),
        Markup('<title id="{}-title">{}</title>').format(chart.name, f"{chart.title}, {chart.unit}"),
        Markup('<desc id="{}-desc">{}</desc>').format(chart.name, described(chart)),
    ]
    if chart.times:
        parts += _drawn(chart, _Scale.of(chart))
    else:
        parts.append(_text("none", WIDTH / 2, HEIGHT / 2, "No figures yet"))
    return Markup("").join([*parts, Markup("</svg>")])


def described(chart: Chart) -> str:
    """Return what the chart shows, in sentences."""
    if not chart.times:
        return "No figures yet."
    sentences = [f"From {_clock(chart.times[0])} to {_clock(chart.times[-1])} UTC."]
    for one in chart.series:
        told = [
            (value, at) for at, raw in zip(chart.times, one.values, strict=True) if (value := known(raw)) is not None
        ]
        if told:
            most, at = max(told)
            sentences.append(f"{one.name}: last {shown(told[-1][0])}, at most {shown(most)} at {_clock(at)}.")
        else:
            sentences.append(f"{one.name}: nothing is known.")
    sentences += [f"{_clock(mark.at)}: {mark.text}." for mark in chart.marks]
    return " ".join(sentences)


@dataclass(frozen=True, slots=True)
class _Scale:
    """Where a time and a figure are in the picture."""

    begin: datetime
    seconds: float
    step: float
    steps: int

    @classmethod
    def of(cls, chart: Chart) -> "_Scale":
        step = _step(chart.most, whole=chart.whole)
        steps = max(math.ceil(chart.most / step - 1e-9), 1)
        return cls(chart.times[0], (chart.times[-1] - chart.times[0]).total_seconds(), step, steps)

    def x(self, at: datetime) -> float:
        share = (at - self.begin).total_seconds() / self.seconds if self.seconds else 0.5
        return LEFT + (WIDTH - LEFT - RIGHT) * min(max(share, 0.0), 1.0)

    def y(self, value: float) -> float:
        share = min(max(value / (self.step * self.steps), 0.0), 1.0)
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * share


def _step(most: float, *, whole: bool) -> float:
    """Return the distance of the grid's lines: 1, 2 or 5 times a power of ten."""
    raw = most / STEPS or 1.0
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= raw * (1 - 1e-9))
    return max(step, 1.0) if whole else step


def _drawn(chart: Chart, scale: _Scale) -> Iterator[Markup]:
    for number in range(scale.steps + 1):
        value = number * scale.step
        yield _rule("grid", LEFT, scale.y(value), WIDTH - RIGHT, scale.y(value))
        yield _text("y", LEFT - 6, scale.y(value) + 4, shown(round(value, 9)))
    yield _text("unit", LEFT, TOP - 6, chart.unit)
    for at in _labels(chart.times):
        yield _text("x", scale.x(at), HEIGHT - 6, _clock(at))
    for mark in chart.marks:
        if chart.times[0] <= mark.at <= chart.times[-1] + timedelta(minutes=1):
            yield _mark(mark, scale.x(mark.at))
    for place, one in enumerate(chart.series):
        points = [
            (scale.x(at), None if value is None else scale.y(value))
            for at, value in zip(chart.times, map(known, one.values), strict=True)
        ]
        yield from _line(points, place)
    if len(chart.times) <= MOST_HINTS:
        yield from _hints(chart, scale)


def _labels(times: Sequence[datetime]) -> Iterator[datetime]:
    """Yield the times to write below the axis: whole minutes of the day."""
    minutes = (times[-1] - times[0]).total_seconds() / 60
    distance = next((some for some in MINUTES if minutes / some <= LABELS), MINUTES[-1])
    for at in times:
        moment = at.astimezone(UTC)
        if len(times) == 1 or (moment.hour * 60 + moment.minute) % distance == 0:
            yield at


def _line(points: Sequence[tuple[float, float | None]], place: int) -> Iterator[Markup]:
    """Yield a line for each run of known figures; a figure alone is a dot."""
    runs: list[list[tuple[float, float]]] = [[]]
    for x, y in points:
        if y is None:
            runs.append([])
        else:
            runs[-1].append((x, y))
    for run in runs:
        if len(run) == 1:
            yield Markup('<circle class="dot l{}" cx="{:.1f}" cy="{:.1f}" r="2.5"/>').format(place, *run[0])
        elif run:
            path = " ".join(f"{x:.1f},{y:.1f}" for x, y in run)
            yield Markup('<polyline class="line l{}" points="{}"/>').format(place, path)


def _mark(mark: ChartMark, x: float) -> Markup:
    inside = Markup("<title>{}</title>").format(f"{_clock(mark.at)} {mark.text}")
    line = _rule("", x, TOP, x, HEIGHT - BOTTOM)
    letter = _text("", x, TOP - 4, mark.sign)
    kind = mark.kind.replace(" ", "-")
    return Markup('<g class="mark m-{}">{}{}{}</g>').format(kind, inside, line, letter)


def _hints(chart: Chart, scale: _Scale) -> Iterator[Markup]:
    """Yield, for each time, an area that tells its figures under the mouse."""
    width = (WIDTH - LEFT - RIGHT) / len(chart.times)
    for place, at in enumerate(chart.times):
        told = ", ".join(f"{one.name} {shown(known(one.values[place]))}" for one in chart.series)
        yield Markup('<rect class="hint" x="{:.1f}" y="{}" width="{:.1f}" height="{}"><title>{}</title></rect>').format(
            scale.x(at) - width / 2, TOP, width, HEIGHT - TOP - BOTTOM, f"{_clock(at)} {told}"
        )


def _rule(kind: str, x1: float, y1: float, x2: float, y2: float) -> Markup:
    ends = Markup('x1="{:.1f}" y1="{:.1f}" x2="{:.1f}" y2="{:.1f}"').format(x1, y1, x2, y2)
    return Markup('<line class="{}" {}/>').format(kind, ends) if kind else Markup("<line {}/>").format(ends)


def _text(kind: str, x: float, y: float, text: str) -> Markup:
    named = Markup(' class="{}"').format(kind) if kind else Markup("")
    return Markup('<text{} x="{:.1f}" y="{:.1f}">{}</text>').format(named, x, y, text)


def _clock(at: datetime) -> str:
    return f"{at.astimezone(UTC):%H:%M}"
