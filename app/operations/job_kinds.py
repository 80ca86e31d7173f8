"""What jobs can do: by the name of a kind, what its items are and how one is done."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

from sqlalchemy import Connection

from app.config.config import Settings
from app.models.jobs import CHECK, DISCARD, DRILL, REPLAY, Do
from app.operations.check_job import check_input, checking
from app.operations.drill_job import drilling, require_drill
from app.operations.letter_jobs import discarding, replaying, require_letters

LATE_SECONDS, CHECK_SECONDS = 60, 120


@dataclass(frozen=True, slots=True)
class JobKind:
    """`things`: what the items are, empty for a job about everything; `opened`: opens what the items need;
    `require`: raises NotFound for an item that is not there; `given`: the input where whoever starts it has none."""

    things: str
    opened: Callable[[Settings], AbstractContextManager[Do]]
    require: Callable[[Connection, Sequence[str]], None] | None = None
    given: str = "{}"


KINDS: Mapping[str, JobKind] = {
    REPLAY: JobKind("dead letters", replaying, require_letters),
    DISCARD: JobKind("dead letters", discarding, require_letters),
    DRILL: JobKind("drills", drilling, require_drill),
    CHECK: JobKind("", checking, given=check_input(LATE_SECONDS, CHECK_SECONDS)),
}
