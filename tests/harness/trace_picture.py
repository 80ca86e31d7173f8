"""A trace as a picture: its collected spans as bars over time, each below its parent. SVG, without a library."""

from collections.abc import Iterator, Sequence
from xml.sax.saxutils import escape

from tests.harness.collector import Collected

WIDTH, LEFT, RIGHT, TOP, ROW = 860, 330, 60, 58, 34
KINDS = {1: "internal", 2: "server", 3: "client", 4: "producer", 5: "consumer"}
COLOURS = ("#1f77b4", "#2ca02c", "#9467bd", "#ff7f0e")


def picture(title: str, spans: Sequence[Collected]) -> str:
    """Return the SVG of the spans of one trace, the root first. Times are milliseconds from its begin."""
    rows = list(_in_order(spans))
    begin, end = min(span.start for span in spans), max(span.end for span in spans)
    services = list(dict.fromkeys(span.service for _, span in rows))
    height = TOP + ROW * len(rows) + 12
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" '
        f'font-size="12" role="img" aria-label="{escape(title)}">',
        f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
        f'<text x="12" y="22" font-size="14">{escape(title)}</text>',
        *_legend(services),
    ]
    for number, (depth, span) in enumerate(rows):
        top, colour = TOP + ROW * number, COLOURS[services.index(span.service) % len(COLOURS)]
        scale = (WIDTH - LEFT - RIGHT) / (end - begin)
        left, width = LEFT + scale * (span.start - begin), max(scale * (span.end - span.start), 2.0)
        took = f"{(span.end - span.start) / 1e6:.1f} ms"
        parts += [
            f'<line x1="12" x2="{WIDTH - 12}" y1="{top - 4}" y2="{top - 4}" stroke="#eee"/>',
            f'<text x="{12 + 16 * depth}" y="{top + 12}">{escape(span.name)}</text>',
            f'<text x="{12 + 16 * depth}" y="{top + 25}" font-size="10" fill="#666">'
            f"{escape(span.service)}, {KINDS[span.kind]}</text>",
            f'<rect x="{left:.1f}" y="{top + 2}" width="{width:.1f}" height="{ROW - 12}" rx="3" fill="{colour}"/>',
            f'<text x="{left + width + 6:.1f}" y="{top + 17}" fill="#444">{took}</text>',
        ]
    return "\n".join([*parts, "</svg>", ""])


def _legend(services: Sequence[str]) -> Iterator[str]:
    for number, service in enumerate(services):
        left = 12 + 150 * number
        yield f'<rect x="{left}" y="34" width="12" height="12" rx="2" fill="{COLOURS[number % len(COLOURS)]}"/>'
        yield f'<text x="{left + 18}" y="44" fill="#444">{escape(service)}</text>'


def _in_order(spans: Sequence[Collected]) -> Iterator[tuple[int, Collected]]:
    """Yield each span behind its parent, with its depth; a span whose parent was not collected is at the top."""
    known = {span.span_id for span in spans}

    def below(parent: str | None, depth: int) -> Iterator[tuple[int, Collected]]:
        children = [span for span in spans if (span.parent if span.parent in known else None) == parent]
        for span in sorted(children, key=lambda span: span.start):
            yield depth, span
            yield from below(span.span_id, depth + 1)

    return below(None, 0)
