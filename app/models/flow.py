"""What the service did, minute by minute: the figures of one process, and how those of several are put together."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

INFINITY = "+Inf"

Number = TypeVar("Number", int, float)


@dataclass(frozen=True, slots=True)
class Work:
    """What a process has done: since it began, or in a minute.

    `changes`: committed ones by move; `refusals`: by code; `repeats`: commands and requests that were done before;
    `calls`: requests for orders that were answered, `unavailable` of them with 503; `latency`: how many of them took no
    longer than so many seconds, and longer than the next smaller bound, by the bound.
    """

    changes: Mapping[str, int] = field(default_factory=dict)
    refusals: Mapping[str, int] = field(default_factory=dict)
    repeats: int = 0
    calls: int = 0
    unavailable: int = 0
    latency: Mapping[str, int] = field(default_factory=dict)

    def since(self, before: "Work") -> "Work":
        """Return what was done after `before`."""
        return Work(
            _less(self.changes, before.changes),
            _less(self.refusals, before.refusals),
            self.repeats - before.repeats,
            self.calls - before.calls,
            self.unavailable - before.unavailable,
            {bound: count - before.latency.get(bound, 0) for bound, count in self.latency.items()},
        )


@dataclass(frozen=True, slots=True)
class Waiting:
    """The most that waited at any look: commands and events of the outbox, in records, and in seconds of the oldest.

    None: not known, because no broker or no database answered.
    """

    commands: int | None = None
    commands_seconds: float | None = None
    events: int | None = None
    events_seconds: float | None = None

    def worst(self, other: "Waiting") -> "Waiting":
        """Return the larger of both figures, each by itself."""
        return Waiting(
            _larger(self.commands, other.commands),
            _larger(self.commands_seconds, other.commands_seconds),
            _larger(self.events, other.events),
            _larger(self.events_seconds, other.events_seconds),
        )


@dataclass(frozen=True, slots=True)
class Lead:
    """A process began to lead a lane, at a time in ISO 8601."""

    lane: str
    at: str


@dataclass(frozen=True, slots=True)
class Figures:
    """The minute of one process. `build`: version and commit that run; `began`: when the process began, in ISO 8601."""

    build: str
    began: str
    work: Work = Work()
    waiting: Waiting = Waiting()
    leads: Sequence[Lead] = ()


def total_of(works: Iterable[Work]) -> Work:
    """Return what several processes did together."""
    changes, refusals, latency = Counter[str](), Counter[str](), Counter[str]()
    repeats = calls = unavailable = 0
    for work in works:
        changes.update(work.changes)
        refusals.update(work.refusals)
        latency.update(work.latency)
        repeats, calls = repeats + work.repeats, calls + work.calls
        unavailable += work.unavailable
    return Work(dict(changes), dict(refusals), repeats, calls, unavailable, dict(latency))


def quantile(latency: Mapping[str, int], share: float) -> float | None:
    """Return the seconds in which this share of the calls was answered, None without calls.

    Within a bucket the calls are taken to be spread evenly, as Prometheus' `histogram_quantile` does it; beyond the
    last bound its value is returned.
    """
    bounds = sorted((float(bound), count) for bound, count in latency.items() if count)
    wanted = share * sum(count for _, count in bounds)
    edges = sorted(float(bound) for bound in latency)
    passed = 0
    for bound, count in bounds:
        if passed + count >= wanted:
            below = max((edge for edge in edges if edge < bound), default=0.0)
            return below if bound == float(INFINITY) else below + (bound - below) * (wanted - passed) / count
        passed += count
    return None


def _less(now: Mapping[str, int], before: Mapping[str, int]) -> Mapping[str, int]:
    return {name: more for name, count in now.items() if (more := count - before.get(name, 0))}


def _larger(one: Number | None, other: Number | None) -> Number | None:
    known = [value for value in (one, other) if value is not None]
    return max(known, default=None)
