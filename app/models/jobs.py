"""Jobs: work that a person starts and a process of the service does, thing by thing."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime

MOST_ITEMS = 1000
LONGEST_REASON = 1000
DEADLINE_SECONDS = 3600
"""For how long a job may wait and run, if whoever starts it says nothing else."""

REPLAY, DISCARD, CHECK, DRILL = "replay", "discard", "check", "drill"
WAITING, RUNNING, DONE, FAILED, STOPPED = "waiting", "running", "done", "failed", "stopped"
EVERYTHING = "everything"
"""The one item of a job that is about no single things."""


@dataclass(frozen=True, slots=True)
class TakenJob:
    """A job that this process does now. `attempts`: how often a process ended while it did the job."""

    id: int
    kind: str
    who: str
    reason: str
    input: str
    attempts: int
    stopped_by: str | None
    late: bool


@dataclass(frozen=True, slots=True)
class JobItem:
    """One thing of a job. `subject`: the id of the thing; `input`: the job's, as JSON."""

    job_id: int
    number: int
    subject: str
    input: str


@dataclass(frozen=True, slots=True)
class LastCheck:
    """The last consistency check that ended. `first`: what it found first, None if nothing is wrong."""

    job_id: int
    findings: int
    first: str | None
    ended_at: datetime
    age_seconds: float


class ItemDone(Exception):
    """Another process has done the item: leave it, and undo what was begun."""


Do = Callable[[JobItem], None]
"""Does one item, and marks it as done in the transaction of its effect.

Raises ItemDone; NotFound and NotPossible if the item cannot be done; another OperationFailed, whose cause passes."""

Kind = Callable[[], AbstractContextManager[Do]]
"""Opens what all items of a job need."""
