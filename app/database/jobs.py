"""The table of jobs, for the process that does them, and for whoever shows what the last check found."""

import json
from collections.abc import Collection, Sequence
from typing import Any

from app.database import jobs_sql as sql
from app.database.pool import Pool
from app.database.statement import Statement
from app.models.jobs import EVERYTHING, JobItem, LastCheck, TakenJob
from app.utils.build import VERSION
from app.utils.deadline import Deadline

CALL_SECONDS = 2.5


class JobTable:
    """Each call blocks for CALL_SECONDS at the longest and raises DatabaseError.

    A job is this process's for the seconds of its lease; then another process may take it.
    """

    def __init__(self, pool: Pool, holder: str) -> None:
        self._pool = pool
        self._holder = holder

    def take(self, kinds: Collection[str], lease_seconds: float) -> TakenJob | None:
        """Take the oldest job of these kinds that waits, or whose process has ended; None if there is none."""
        rows = self._run(sql.TAKE, self._holder, lease_seconds, sorted(kinds), VERSION)
        return TakenJob(*rows[0]) if rows else None

    def items(self, job: TakenJob) -> Sequence[JobItem]:
        """Return what is left to do, in order."""
        return [JobItem(job.id, number, subject, job.input) for number, subject in self._run(sql.ITEMS, job.id)]

    def renew(self, job: TakenJob, lease_seconds: float) -> tuple[str | None, bool] | None:
        """Keep the job; return who stops it, and whether its time is over. None if it is another process's by now."""
        rows = self._run(sql.RENEW, job.id, self._holder, lease_seconds)
        return (rows[0][0], rows[0][1]) if rows else None

    def fail_item(self, item: JobItem, sentence: str) -> None:
        """Mark an item that cannot be done."""
        self._run(sql.FAIL_ITEM, item.job_id, item.number, sentence)

    def rest(self, job: TakenJob, seconds: float, trouble: str | None) -> None:
        """Give the job back; nobody takes it before the seconds are over."""
        self._run(sql.REST, job.id, self._holder, seconds, trouble)

    def end(self, job: TakenJob, state: str, outcome: str) -> None:
        """End the job."""
        self._run(sql.END, job.id, self._holder, state, outcome)

    def count(self, job: TakenJob) -> tuple[int, int, int, str | None, str | None]:
        """Return how many items there are, are done and have failed, and the results of the first that failed and of
        the first of all."""
        ((all_, done, failed, first_failure, first),) = self._run(sql.COUNT, job.id)
        return all_, done, failed, first_failure, first

    def start_once(
        self, kind: str, who: str, reason: str, given: str, once: str, deadline_seconds: float
    ) -> int | None:
        """Start a job about everything, unless a job of the name `once` was started; return its id."""
        rows = self._run(sql.START_ONCE, kind, who, reason, given, once, deadline_seconds, EVERYTHING)
        return int(rows[0][0]) if rows else None

    def _run(self, statement: Statement, *parameters: Any) -> list[tuple[Any, ...]]:
        return self._pool.run(statement, parameters, Deadline(CALL_SECONDS))


def last_check(pool: Pool) -> LastCheck | None:
    """Return the last check that ended; None before the first. Raises DatabaseError."""
    rows = pool.run(sql.LAST_CHECK, (), Deadline(CALL_SECONDS))
    if not rows:
        return None
    ((job_id, result, ended_at, age),) = rows
    found = json.loads(result)["findings"]
    first = found[0]["sentence"] if found else None
    return LastCheck(job_id, len(found), first, ended_at, max(age, 0.0))
