"""Spans of time as people say them."""

_UNITS = ((86_400, "days"), (3_600, "h"), (60, "min"))


def span(seconds: float) -> str:
    """Return the span in its largest unit that fits twice: `0.4 s`, `75 s`, `3 min`, `5 h`, `2 days`."""
    seconds = max(seconds, 0.0)
    for size, name in _UNITS:
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {name}"
    return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
