"""Figures of one round and their medians: rate, latency, CPU seconds from /proc, peak memory."""

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Protocol, Self

import psutil

WARM_UP_SHARE = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One round of one side, or the medians of several. What does not apply is None.

    `rate`: done a second; `p50`, `p99`: latency in ms; `server_cpu`, `postgres_cpu`: CPU ms for each that was done;
    `memory`: most resident memory that the server's largest process has had so far, in MiB.
    """

    rate: float | None = None
    p50: float | None = None
    p99: float | None = None
    server_cpu: float | None = None
    postgres_cpu: float | None = None
    memory: float | None = None


Side = Callable[[float], Mapping[str, Sample]]
"""Measures one round of about so many seconds of one server, and returns its samples by name."""


class Processes(Protocol):
    """A server."""

    def processes(self) -> Sequence[psutil.Process]:
        """Its first process and all that descend from it."""


def interleaved(sides: Sequence[Side], rounds: int, seconds: float) -> dict[str, Sample]:
    """Measure all sides in turn, so many times (A B A B …), and return the medians; a short round is not counted."""
    for side in sides:
        side(seconds / WARM_UP_SHARE)
    found: dict[str, list[Sample]] = {}
    for _ in range(rounds):
        for side in sides:
            for name, sample in side(seconds).items():
                found.setdefault(name, []).append(sample)
    return {name: median(samples) for name, samples in found.items()}


def median(samples: Sequence[Sample]) -> Sample:
    """Return the median of each figure by itself."""
    figures: dict[str, float] = {}
    for field in fields(Sample):
        values = [value for sample in samples if (value := getattr(sample, field.name)) is not None]
        if values:
            figures[field.name] = statistics.median(values)
    return Sample(**figures)


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that `share` percent of the values do not exceed; `values` may have any order."""
    ordered = sorted(values)
    return ordered[max(math.ceil(len(ordered) * share / 100), 1) - 1]


class Meter:
    """CPU time of a server and of PostgreSQL while the body runs."""

    def __init__(self, server: Processes | None, postgres: Processes) -> None:
        self._parts = [server, postgres]
        self._seconds = [0.0, 0.0]

    def __enter__(self) -> Self:
        self._seconds = self._now()
        return self

    def __exit__(self, *_: object) -> None:
        self._seconds = [now - before for now, before in zip(self._now(), self._seconds, strict=True)]

    def for_each(self, count: int) -> dict[str, float | None]:
        """Return the CPU fields of a sample in which so many were done."""
        server, postgres = (seconds * 1000 / count for seconds in self._seconds)
        return {"server_cpu": None if self._parts[0] is None else server, "postgres_cpu": postgres}

    def _now(self) -> list[float]:
        return [0.0 if part is None else cpu_seconds(part) for part in self._parts]


def cpu_seconds(server: Processes) -> float:
    """Return the CPU time of all its processes, those included that have ended."""
    total = 0.0
    for place, process in enumerate(server.processes()):
        with suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            total += times.user + times.system
            if place == 0:
                total += times.children_user + times.children_system
    return total


def peak_memory(server: Processes) -> float:
    """Return the most resident memory that its largest process has had, in MiB."""
    return max((_kibibytes(process, "VmHWM") for process in server.processes()), default=0.0) / 1024


def memory_now(server: Processes) -> float:
    """Return the resident memory of its largest process, in MiB."""
    return max((_kibibytes(process, "VmRSS") for process in server.processes()), default=0.0) / 1024


def _kibibytes(process: psutil.Process, name: str) -> float:
    with suppress(OSError):
        for line in Path(f"/proc/{process.pid}/status").read_text().splitlines():
            if line.startswith(f"{name}:"):
                return float(line.split()[1])
    return 0.0
