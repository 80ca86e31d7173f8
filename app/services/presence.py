"""What this process tells of itself, for the console of every instance: who it is, and how its parts are."""

import logging
import os
import socket
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol, TypeVar

from app.database.instances import InstanceTable
from app.models.errors import DatabaseError
from app.utils.build import build
from app.utils.deadline import Deadline
from app.utils.limits import TELL_SECONDS
from app.utils.logging import Repeats

log = logging.getLogger(__name__)

PRUNE_SECONDS = 600.0
SILENT_SECONDS = 3.0  # a process tells of itself every second
LOST_SECONDS = 600.0  # one that is silent for longer is history


class Life(Protocol):
    """One process: seconds since its start, and since it last told of itself."""

    @property
    def age(self) -> float: ...

    @property
    def silent(self) -> float: ...


One = TypeVar("One", bound=Life)


def here_and_missing(told: Iterable[One]) -> tuple[list[One], list[One]]:
    """Return the processes that are there, and those that are missing, the newest loss first.

    A process that fell silent is missed until another one has started since: then that one is in its place, also if it
    fell silent itself. So of a process that was killed again and again one is missed at most.
    """
    here, missing = [], []
    told = sorted(told, key=lambda one: one.silent)
    for one in told:
        if one.silent <= SILENT_SECONDS:
            here.append(one)
        elif one.silent <= LOST_SECONDS:
            missing.append(one)
    for newcomer in sorted(told, key=lambda one: one.age, reverse=True):
        before = [one for one in missing if one.silent >= newcomer.age]
        if before:
            missing.remove(before[0])
    return here, missing


class Presence:
    """Tells of one process; the thread of the alarms calls it. Each call blocks for some seconds at the longest."""

    def __init__(self, table: InstanceTable, name: str, roles: str, parts: Callable[[], Mapping[str, Any]]) -> None:
        """`name`: under which this process holds alarms, too; `parts`: how they are, by what is in memory alone."""
        self._table = table
        self._name = name
        self._roles = roles
        self._parts = parts
        self._next = self._next_pruning = Deadline(0)
        self._started = time.monotonic()
        self._repeats = Repeats()

    def tell(self) -> None:
        """Tell, at most every TELL_SECONDS. Where that fails, the log has a line of it."""
        if not self._next.passed:
            return
        self._next = Deadline(TELL_SECONDS)
        try:
            self._table.tell(self._values(), self._parts())
            if self._next_pruning.passed:
                self._table.prune()
                self._next_pruning = Deadline(PRUNE_SECONDS)
        except DatabaseError as error:
            self._repeats.say(log, logging.INFO, f"this process does not show in the console: {error.reason}")

    def leave(self) -> None:
        """Say that the process ends."""
        try:
            self._table.leave(self._name)
        except DatabaseError as error:
            log.info("this process shows in the console as lost: %s", error.reason)

    def _values(self) -> dict[str, Any]:
        runs = build()
        return {
            "name": self._name,
            "host": socket.gethostname()[:255],
            "pid": os.getpid(),
            "version": runs["version"][:40],
            "commit": runs["commit"][:64],
            "roles": self._roles,
            "age": time.monotonic() - self._started,
        }
