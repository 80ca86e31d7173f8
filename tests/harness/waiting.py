"""Waiting for a condition, with a deadline."""

import time
from collections.abc import Callable
from typing import TypeVar

READY_SECONDS = 60.0

T = TypeVar("T")


def until(holds: Callable[[], T | None], what: str, seconds: float = READY_SECONDS) -> T:
    """Return what `holds` returns as soon as that is true. Raises TimeoutError after `seconds`."""
    give_up = time.monotonic() + seconds
    while not (value := holds()):
        if time.monotonic() > give_up:
            raise TimeoutError(f"waited {seconds:.0f} s in vain for {what}")
        time.sleep(0.05)
    return value
