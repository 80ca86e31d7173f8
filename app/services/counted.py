"""Counts what becomes of commands and calls, and tells what this process has done since it began.

That is read from the process's metrics: nothing is counted a second time for it.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from functools import lru_cache
from itertools import pairwise
from typing import Any

from app.models.flow import Work
from app.utils.metrics import CHANGES, REFUSALS, REPEATS, REQUEST_TIME, REQUESTS
from app.wire.bodies import CHANGE_PATHS

ORDERS = frozenset(("/orders", "/orders/customer/{id}", "/getOrderDetails", *CHANGE_PATHS))
"""The routes of orders: calls of other pages tell nothing about orders."""
UNAVAILABLE = "503"


def count_change(move: str, door: str, times: int = 1) -> None:
    """Count changes that are committed."""
    _change(move, door).inc(times)


def count_repeat(door: str, times: int = 1) -> None:
    """Count requests or commands that were done before."""
    _repeat(door).inc(times)


def count_refusal(code: str, door: str, times: int = 1) -> None:
    """Count requests or commands that were refused."""
    REFUSALS.labels(code, door).inc(times)


@lru_cache
def _repeat(door: str) -> Any:
    return REPEATS.labels(door)


@lru_cache
def _change(move: str, door: str) -> Any:
    """Looking a series up by its labels takes twice as long as counting."""
    return CHANGES.labels(move, door)


def counted() -> Work:
    """Return it. Takes some milliseconds of the process, and waits for nothing."""
    calls = [(labels["status"], count) for labels, count in _totals(REQUESTS) if labels["route"] in ORDERS]
    return Work(
        changes=_by(CHANGES, "move"),
        refusals=_by(REFUSALS, "code"),
        repeats=sum(count for _, count in _totals(REPEATS)),
        calls=sum(count for _, count in calls),
        unavailable=sum(count for status, count in calls if status == UNAVAILABLE),
        latency=_latency(),
    )


def _by(counter: Any, label: str) -> Mapping[str, int]:
    found = Counter[str]()
    for labels, count in _totals(counter):
        found[labels[label]] += count
    return found


def _totals(counter: Any) -> Iterator[tuple[Mapping[str, str], int]]:
    """Yield the labels of each series with its count."""
    for metric in counter.collect():
        for sample in metric.samples:
            if sample.name.endswith("_total"):
                yield sample.labels, int(sample.value)


def _latency() -> Mapping[str, int]:
    """Return how many calls each bucket has alone; Prometheus counts the smaller ones in."""
    up_to = Counter[str]()
    for metric in REQUEST_TIME.collect():
        for sample in metric.samples:
            if sample.name.endswith("_bucket") and sample.labels["route"] in ORDERS:
                up_to[sample.labels["le"]] += int(sample.value)
    bounds = sorted(up_to, key=float)
    alone = {bound: up_to[bound] - up_to[smaller] for smaller, bound in pairwise(bounds)}
    return {bound: alone.get(bound, up_to[bound]) for bound in bounds}
