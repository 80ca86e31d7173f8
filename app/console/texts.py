"""Numbers, times and ages as a person reads them: the filters of the templates."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

from markupsafe import Markup

NOTHING = "–"
LONGEST_ID = 16
FRESH_SECONDS = 10  # of heartbeats, which come every few seconds
_UNITS = ((86_400.0, "d"), (3600.0, "h"), (60.0, "min"), (1.0, "s"))


def number(value: float | None) -> str:
    """Return `1,234,567`."""
    return NOTHING if value is None else f"{value:,.0f}"


def age(seconds: float | None) -> str:
    """Return `3 d 4 h`, `12 min`, `8 s`, `0.2 s`: as much as matters, so that it seldom changes."""
    if seconds is None:
        return NOTHING
    if seconds < 1:
        return f"{max(seconds, 0.0):.1f} s"
    for place, (size, unit) in enumerate(_UNITS):
        if seconds >= size:
            whole, rest = divmod(seconds, size)
            smaller = _UNITS[place + 1] if unit in ("d", "h") else None
            more = f" {rest // smaller[0]:.0f} {smaller[1]}" if smaller and rest >= smaller[0] and whole < 10 else ""
            return f"{whole:.0f} {unit}{more}"
    return NOTHING


def beat(seconds: float | None) -> str:
    """Return how old a heartbeat is; fresh ones read the same, so that the page of a service at work stays as it is."""
    return "just now" if seconds is not None and seconds < FRESH_SECONDS else age(seconds)


def since(moment: datetime | None) -> str:
    """Return how long ago the moment was."""
    return NOTHING if moment is None else age((datetime.now(UTC) - _in_utc(moment)).total_seconds())


def when(moment: datetime | None) -> str:
    """Return a `time` element with the time of today, or with the day; its title has all of it, in UTC."""
    if moment is None:
        return NOTHING
    moment = _in_utc(moment)
    whole = moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    is_today = moment.date() == datetime.now(UTC).date()
    shown = f"{moment:%H:%M:%S}" if is_today else f"{moment:%Y-%m-%d %H:%M}"
    return Markup('<time datetime="{}" title="{} UTC">{}</time>').format(whole, whole, shown)


def clock(moment: datetime) -> str:
    """Return a `time` element with the time to the millisecond; its title has the day, too."""
    moment = _in_utc(moment)
    whole = moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return Markup('<time datetime="{}" title="{} UTC">{}</time>').format(whole, whole, whole[11:-1])


def hop(seconds: float | None) -> str:
    """Return how long a step took: `4 ms`, `1.2 s`, `3 min`. Less than nothing: the clocks of the two ends differ."""
    if seconds is not None and seconds < 0:
        return f"clocks differ by {hop(-seconds)}"
    if seconds is None or seconds >= 60:
        return age(seconds)
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"


def short(some_id: str | None) -> str:
    """Return the two ends of a long id: ids that were made at one time begin alike."""
    if some_id is None:
        return NOTHING
    return some_id if len(some_id) <= LONGEST_ID else f"{some_id[:8]}…{some_id[-6:]}"


def sentence(text: str | None) -> str:
    """Return the text with a full stop at its end."""
    text = (text or "").strip()
    return text if not text or text[-1] in ".!?" else f"{text}."


def _in_utc(moment: datetime) -> datetime:
    """Times of orders have no zone; they are in UTC."""
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


FILTERS: Mapping[str, Callable[..., Any]] = MappingProxyType(
    {
        "number": number,
        "age": age,
        "beat": beat,
        "since": since,
        "when": when,
        "clock": clock,
        "hop": hop,
        "short": short,
        "sentence": sentence,
    }
)
