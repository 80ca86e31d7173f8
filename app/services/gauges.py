"""The gauges of what waits, set from what the watch saw: every process shows the same numbers.

A number that is not known is NaN: a stale one would say that all is well.
"""

import math
import threading
from collections.abc import Mapping
from typing import Any

from app.utils.metrics import COMMANDS_AGE, DEAD_LETTERS_AGE, DEAD_LETTERS_UNSENT, LAG, OUTBOX_AGE, OUTBOX_DEPTH

_lock = threading.Lock()
_partitions: set[str] = set()  # whose gauges this process shows


def show(seen: Mapping[str, Any] | None) -> None:
    """Set the gauges; `seen`: what the watch saw a moment ago, None where it saw nothing."""
    lanes = (seen or {}).get("lanes", {})
    for name, depth, age in (
        ("events", OUTBOX_DEPTH, OUTBOX_AGE),
        ("dead_letters", DEAD_LETTERS_UNSENT, DEAD_LETTERS_AGE),
    ):
        lane = lanes.get(name, {})
        depth.set(lane.get("depth", math.nan))
        age.set(lane.get("oldest_seconds", math.nan))
    commands = (seen or {}).get("commands") or {}
    with _lock:
        if commands:
            for gone in _partitions - commands.keys():
                LAG.remove(gone)
                COMMANDS_AGE.remove(gone)
            _partitions.clear()
            _partitions.update(commands)
        for partition in _partitions:
            known = commands.get(partition, {})
            LAG.labels(partition).set(_number(known.get("lag")))
            COMMANDS_AGE.labels(partition).set(
                _number(known.get("oldest_seconds") if known.get("lag") is not None else None)
            )


def _number(value: float | None) -> float:
    return math.nan if value is None else value
