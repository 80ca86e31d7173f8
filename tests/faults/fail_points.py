"""The service dies at each point that matters, again and again, under load."""

import time
from collections import Counter
from pathlib import Path

from tests.faults.row import Load
from tests.harness.stack import Stack

# How likely a passage is to be the last one: often enough to come to an end, seldom enough to get there at all.
POINTS = {
    "after_commit": "after_commit:0.3",
    "before_commit": "before_commit:0.3",
    "amid_send": "amid_send:0.02",
    "after_send": "after_send:0.03",
    "after_acknowledgement": "after_acknowledgement:0.05",
    "after_delete": "after_delete:0.05",
    "amid_read_back": "after_acknowledgement:0.1,amid_read_back:0.9",
}
NEEDS = {"amid_read_back": "read_back"}
"""Points that are never passed where this protection is taken out."""
LONGEST_SECONDS = 600.0
QUIET_SECONDS = 15.0
LEAST_READ_BACKS = 5


def passed_points(without: str | None) -> list[str]:
    """Return the points that a service without this protection passes, all of them for the whole service."""
    return [point for point in POINTS if without is None or NEEDS.get(point) != without]


def strikes(note: Path) -> Counter[str]:
    """Return how often each point struck so far."""
    return Counter(note.read_text().split()) if note.exists() else Counter()


def strike_under_load(stack: Stack, load: Load, seed: int, point: str, times: int) -> int:
    """Run two instances with one fail point under load until it struck so often; return how often it did.

    Gunicorn starts a worker anew that died. Afterwards they run without fail points.
    """
    note = stack.folder / f"strikes-{point}"
    for instance in stack.instances:
        instance.settings |= {"FAIL_POINTS": POINTS[point], "FAIL_STRIKES": str(note)}
        instance.ready_path = "/health"  # a process that dies again and again may never be found ready
        instance.start()
    with load.running(stack, seed):
        give_up = time.monotonic() + LONGEST_SECONDS
        while strikes(note)[point] < times and time.monotonic() < give_up:
            time.sleep(0.1)
        for instance in stack.instances:
            instance.kill()
            instance.settings["FAIL_POINTS"] = ""
            instance.ready_path = "/readyz"
            instance.start()
    return strikes(note)[point]
