"""Keeps a worker process on one CPU, the one that others leave the most of, and lets its threads take turns there.

Python's threads take turns at one lock. Spread over several CPUs they wake each other across them at every system call:
25,000 context switches a second were seen under 32 callers. On one CPU a thread that comes back from a short call most
often just goes on (docs/performance.md has what that gives). A process takes no more than one CPU's time either way.
"""

import logging
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path

log = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
WORTH_MOVING = 0.25  # so much more of another CPU's time must be free: less would be paid for by cold caches
SHARED = 0.4  # what a second process leaves of a CPU that both could fill, and a little room
FULL = 0.95
TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")
_IDLE = (3, 4)  # the columns `idle` and `iowait` of /proc/stat


def take_turns() -> None:
    """Let a thread of ours that wakes wait until the CPU's running thread blocks, or has had its time.

    For the calling thread and those that it starts from now on (SCHED_BATCH, see sched(7)). A thread that wakes another
    holds Python's lock: the other one, running at once, could only stop and wait for it. Raises nothing.
    """
    try:
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
    except (AttributeError, OSError) as error:  # not Linux, or a sandbox that forbids it
        log.info("threads do not take turns: %s", error)


def parse_stat(text: str) -> dict[int, float]:
    """Return how many seconds each CPU has been busy since boot, from the text of /proc/stat."""
    busy = {}
    for name, *columns in (line.split() for line in text.splitlines() if line.startswith("cpu")):
        if name != "cpu":
            ticks = [int(column) for column in columns[:8]]
            busy[int(name.removeprefix("cpu"))] = (sum(ticks) - sum(ticks[it] for it in _IDLE)) / TICKS_A_SECOND
    return busy


def where_to_be(current: int, others: Mapping[int, float], own: float) -> int:
    """Return the CPU to be on. `others`: by CPU the share of its time that other processes took; `own`: what we took.

    Another one must be freer; or have room while somebody who is kept to one CPU too shares ours: what takes half of it
    then would take all, and looks no busier than what the system can put anywhere.
    """
    elsewhere = min((cpu for cpu in others if cpu != current), key=lambda cpu: others[cpu], default=current)
    here, there = others.get(current, 1.0), others.get(elsewhere, 1.0)
    freer = here - there > WORTH_MOVING
    shared = here > SHARED and own + here > FULL and 1 - there > WORTH_MOVING
    return elsewhere if freer or shared else current


class Placement:
    """The CPU of this process. Use from one thread."""

    def __init__(self, number: int, busy_seconds: Callable[[], Mapping[int, float]] | None = None) -> None:
        """`number`: of the worker among its siblings, so that they begin on different CPUs. `busy_seconds`: by CPU.

        Does nothing where the system does not tell, or lets the process run on one CPU only.
        """
        self._allowed: list[int] = []
        self._busy_seconds = busy_seconds or _busy_seconds
        try:
            allowed = sorted(os.sched_getaffinity(0))
            self._seen = time.monotonic(), time.process_time(), self._busy_seconds()
        except (AttributeError, OSError):  # not Linux, or a sandbox without /proc
            log.info("not kept on one CPU: this system does not tell how busy they are")
            return
        if len(allowed) < 2 or not self._seen[2].keys() >= set(allowed):
            return
        self.cpu = allowed[number % len(allowed)]
        try:
            self._move(self.cpu)
        except OSError as error:  # a sandbox that forbids it
            log.info("not kept on one CPU: %s", error.strerror)
            return
        self._allowed = allowed

    def look(self) -> None:
        """Move where another CPU has become much freer; looks once in LOOK_SECONDS. Does not block, raises nothing."""
        if not self._allowed or time.monotonic() - self._seen[0] < LOOK_SECONDS:
            return
        try:
            better = where_to_be(self.cpu, *self._shares())
            if better != self.cpu:
                self._move(better)
        except OSError as error:  # the CPUs that it may use were changed
            self._allowed = []
            log.warning("no longer kept on one CPU: %s", error.strerror)

    def _shares(self) -> tuple[dict[int, float], float]:
        """Return the share of each CPU's time that others took since the last look, and what we took of ours."""
        then, own_then, busy_then = self._seen
        now, own, busy = self._seen = time.monotonic(), time.process_time(), self._busy_seconds()
        known = [cpu for cpu in self._allowed if cpu in busy and cpu in busy_then]
        passed, took = now - then, own - own_then
        others = {cpu: (busy[cpu] - busy_then[cpu] - (took if cpu == self.cpu else 0.0)) / passed for cpu in known}
        return others, took / passed

    def _move(self, cpu: int) -> None:
        self.cpu = cpu
        for thread in os.listdir("/proc/self/task"):
            try:
                os.sched_setaffinity(int(thread), {cpu})
            except ProcessLookupError:
                log.debug("thread %s has ended meanwhile", thread)
        log.debug("on CPU %s", cpu)


def _busy_seconds() -> dict[int, float]:
    return parse_stat(Path("/proc/stat").read_text())
