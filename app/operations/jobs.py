"""Jobs as a person starts, sees and stops them. A process with ROLES=all or worker does them (app/services/jobs.py)."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, func, insert, select, update

from app.config.config import Settings
from app.models.jobs import DEADLINE_SECONDS, DONE, EVERYTHING, FAILED, LONGEST_REASON, MOST_ITEMS, STOPPED
from app.models.operator_errors import NotFound, NotPossible
from app.models.service_tables import job_items, jobs
from app.operations.audit import Operator
from app.operations.job_kinds import KINDS, JobKind
from app.operations.transaction import transaction

_jobs = jobs.c
_items = job_items.c


@dataclass(frozen=True, slots=True)
class Item:
    """One thing of a job: `subject` is its id, `state` waiting, done or failed, `result` a sentence."""

    subject: str
    state: str
    result: str | None
    done_at: datetime | None


@dataclass(frozen=True, slots=True)
class Job:
    """A job. `done` and `failed` of `total` items have a result; `outcome`: how it ended, in a sentence; `trouble`:
    what keeps it waiting; `result`: the report of a check; `items`: empty in a list; `version`: of the service."""

    id: int
    kind: str
    state: str
    who: str
    reason: str
    created_at: datetime
    deadline_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    total: int
    done: int
    failed: int
    outcome: str | None
    trouble: str | None
    stopped_by: str | None
    holder: str | None
    version: str | None
    input: Any
    result: Any
    items: Sequence[Item]

    @property
    def is_over(self) -> bool:
        """Whether nothing more comes of it."""
        return self.ended_at is not None

    @property
    def progress(self) -> str:
        """How many items have a result, of how many."""
        return f"{self.done + self.failed} of {self.total}"


def start(
    operator: Operator,
    kind: str,
    ids: Iterable[int | str] = (),
    *,
    reason: str,
    given: str | None = None,
    deadline_seconds: int = DEADLINE_SECONDS,
) -> int:
    """Start a job about exactly these things, in the order given; return its id. A process begins within seconds.

    `given`: the input as JSON, the kind's own by default. `deadline_seconds`: from now; what is not done by then is not
    done. Raises NotPossible if there are too many things, or no reason, and NotFound if one of them is not there. The
    audit line has the ids and the reason.
    """
    subjects = list(dict.fromkeys(map(str, ids)))
    known = _require(kind, subjects, reason)
    deadline = func.now() + func.make_interval(0, 0, 0, 0, 0, 0, deadline_seconds)
    row = {"kind": kind, "who": operator.name, "reason": reason, "input": given or known.given, "deadline_at": deadline}
    with operator.change(f"{kind}-job") as change:
        if known.require is not None:
            known.require(change.connection, subjects)
        job_id = int(change.connection.execute(insert(jobs).values(row).returning(_jobs.id)).scalar_one())
        items = [{"job_id": job_id, "number": n, "subject": it} for n, it in enumerate(subjects or [EVERYTHING])]
        change.connection.execute(insert(job_items), items)
        what = f"{len(subjects)} {known.things} ({', '.join(subjects)})" if subjects else EVERYTHING
        change.record(f"job {job_id}", f"{what}: {reason}")
    return job_id


def show(settings: Settings, job_id: int) -> Job:
    """Return one job with its items. Raises NotFound."""
    with transaction(settings, snapshot=True) as connection:
        row = connection.execute(select(jobs).where(_jobs.id == job_id)).first()
        if row is None:
            raise NotFound(_missing(job_id))
        columns = (_items.subject, _items.state, _items.result, _items.done_at)
        items = connection.execute(select(*columns).where(_items.job_id == job_id).order_by(_items.number))
        return _job(row, _counts(connection, [job_id]), [Item(*item) for item in items])


def find(settings: Settings, *, only: str | None = None, limit: int = 20) -> list[Job]:
    """Return the jobs, or those of the kind `only`, without their items, the latest first."""
    query = select(jobs).order_by(_jobs.id.desc()).limit(limit)
    with transaction(settings, snapshot=True) as connection:
        rows = connection.execute(query if only is None else query.where(_jobs.kind == only)).all()
        counts = _counts(connection, [row.id for row in rows])
        return [_job(row, counts, []) for row in rows]


def stop(operator: Operator, job_id: int) -> bool:
    """Stop a job: what is done stays. Return whether it is over already; else it is as soon as its item at hand is.

    Raises NotFound, and NotPossible if it is over.
    """
    with operator.change("stop-job") as change:
        row = change.connection.execute(select(jobs).where(_jobs.id == job_id).with_for_update()).first()
        if row is None:
            raise NotFound(_missing(job_id))
        if row.ended_at is not None:
            raise NotPossible(f"Job {job_id} is over: {row.state}.")
        begun = row.holder is not None
        values: dict[str, Any] = {"stopped_by": operator.name}
        if not begun:
            outcome = f"Stopped by {operator.name} before {'it went on' if row.started_at else 'it began'}"
            values |= {"state": STOPPED, "ended_at": func.now(), "held_until": None, "trouble": None}
            values |= {"outcome": outcome}
        change.connection.execute(update(jobs).where(_jobs.id == job_id).values(values))
        change.record(f"job {job_id}", f"{row.kind}, was {row.state}")
    return not begun


def _require(kind: str, subjects: Sequence[str], reason: str) -> JobKind:
    known = KINDS.get(kind)
    if known is None:
        raise NotPossible(f"There is no job {kind!r}: it is one of {', '.join(KINDS)}.")
    if bool(subjects) != bool(known.things):
        raise NotPossible(f"A job {kind} is about {known.things or 'everything'}.")
    if len(subjects) > MOST_ITEMS:
        raise NotPossible(f"A job takes {MOST_ITEMS} {known.things} at most: these are {len(subjects)}.")
    if not reason.strip() or len(reason) > LONGEST_REASON:
        raise NotPossible(f"Give a reason of at most {LONGEST_REASON} characters: the audit keeps it.")
    return known


def _counts(connection: Connection, job_ids: Sequence[int]) -> dict[int, tuple[int, int, int]]:
    """Return, by job, how many items there are, are done and have failed."""
    counts = [func.count(), *(func.count().filter(_items.state == state) for state in (DONE, FAILED))]
    query = select(_items.job_id, *counts).where(_items.job_id.in_(job_ids)).group_by(_items.job_id)
    return {job_id: (total, done, failed) for job_id, total, done, failed in connection.execute(query)}


def _job(row: Row[Any], counts: dict[int, tuple[int, int, int]], items: Sequence[Item]) -> Job:
    """Return the job of a row. `counts`: by job, as `_counts` returns them."""
    total, done, failed = counts[row.id]
    columns = {field.name: row._mapping[field.name] for field in fields(Job) if field.name in jobs.c}
    columns |= {"input": json.loads(row.input), "result": None if row.result is None else json.loads(row.result)}
    return Job(**columns, total=total, done=done, failed=failed, items=items)


def _missing(job_id: int) -> str:
    return f"There is no job {job_id}."
