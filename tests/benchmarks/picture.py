"""Pictures of lines over time, as SVG, without a library."""

from collections.abc import Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

WIDTH, LEFT, RIGHT, GAP = 760, 64, 16, 44
COLOURS = ("#1f77b4", "#2ca02c", "#9467bd", "#ff7f0e", "#d62728", "#7f7f7f")
STEPS = 4
LEGEND_WIDTH = 150


@dataclass(frozen=True, slots=True)
class Line:
    """A named line of points; a point without a value is None, and interrupts it."""

    name: str
    points: Sequence[tuple[float, float | None]]


@dataclass(frozen=True, slots=True)
class Panel:
    """Lines with one scale. `limit`: a value that is drawn across, with its name."""

    title: str
    lines: Sequence[Line]
    height: int = 170
    limit: tuple[float, str] | None = None

    @property
    def most(self) -> float:
        """The end of the scale."""
        values = [value for line in self.lines for _, value in line.points if value is not None]
        return _round_up(max([*values, self.limit[0] if self.limit else 0.0, 1e-9]))


def picture(title: str, panels: Sequence[Panel], seconds: float, shaded: tuple[float, float], shade: str) -> str:
    """Return the SVG of the panels, one above the other over the same time; `shaded`: a span, and what it is."""
    height = 34 + sum(panel.height + GAP + 22 for panel in panels)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" '
        f'font-size="11" role="img" aria-label="{escape(title)}">',
        f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
        _text(WIDTH / 2, 18, title, anchor="middle", size=14),
    ]
    top = 34.0
    for panel in panels:
        parts += _panel(panel, top + 22, seconds, shaded, shade)
        top += panel.height + GAP + 22
    return "\n".join([*parts, "</svg>", ""])


def _panel(panel: Panel, top: float, seconds: float, shaded: tuple[float, float], shade: str) -> list[str]:
    width, bottom, most = WIDTH - LEFT - RIGHT, top + panel.height, panel.most

    def x(at: float) -> float:
        return LEFT + width * at / seconds

    def y(value: float) -> float:
        return bottom - panel.height * min(value, most) / most

    begin, end = map(x, shaded)
    parts = [
        _text(LEFT, top - 8, panel.title, size=12),
        f'<rect x="{begin:.1f}" y="{top:.1f}" width="{end - begin:.1f}" height="{panel.height}" fill="#fde9e7"/>',
        _text(begin + 4, top + 12, shade, colour="#b5473c"),
    ]
    for step in range(STEPS + 1):
        value = most * step / STEPS
        parts.append(_rule(LEFT, y(value), LEFT + width, y(value), "#dddddd"))
        parts.append(_text(LEFT - 6, y(value) + 4, f"{value:,.10g}", anchor="end"))
    parts += [_text(x(at), bottom + 14, f"{at} s", anchor="middle") for at in range(0, int(seconds) + 1, 5)]
    if panel.limit is not None:
        value, name = panel.limit
        parts.append(_rule(LEFT, y(value), LEFT + width, y(value), "#d62728", dashed=True))
        parts.append(_text(LEFT + width - 4, y(value) - 4, name, anchor="end", colour="#d62728"))
    for place, line in enumerate(panel.lines):
        colour = COLOURS[place % len(COLOURS)]
        parts += _line([(x(at), None if value is None else y(value)) for at, value in line.points], colour)
        legend = LEFT + place * LEGEND_WIDTH
        parts.append(_rule(legend, bottom + 28, legend + 18, bottom + 28, colour, width=2))
        parts.append(_text(legend + 23, bottom + 32, line.name))
    return parts


def _line(points: Sequence[tuple[float, float | None]], colour: str) -> list[str]:
    runs: list[list[str]] = [[]]
    for x, y in points:
        if y is None:
            runs.append([])
        else:
            runs[-1].append(f"{x:.1f},{y:.1f}")
    style = f'fill="none" stroke="{colour}" stroke-width="1.6"'
    return [f'<polyline points="{" ".join(run)}" {style}/>' for run in runs if run]


def _rule(x1: float, y1: float, x2: float, y2: float, colour: str, *, dashed: bool = False, width: int = 1) -> str:
    dashes = ' stroke-dasharray="5 4"' if dashed else ""
    ends = f'x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"'
    return f'<line {ends} stroke="{colour}" stroke-width="{width}"{dashes}/>'


def _text(x: float, y: float, text: str, *, anchor: str = "start", size: int = 11, colour: str = "#333333") -> str:
    place = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"'
    return f'<text {place} font-size="{size}" fill="{colour}">{escape(text)}</text>'


def _round_up(value: float) -> float:
    """Return the next of 1, 2, 4, 5, 8, 10 times a power of ten."""
    power = 10.0 ** len(str(int(value))) / 10 if value >= 1 else 1.0
    return next(step * power for step in (1, 2, 4, 5, 8, 10) if step * power >= value)
