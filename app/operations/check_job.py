"""The consistency check as a job: its report stays with the job."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from app.config.config import Settings
from app.models.jobs import Do, JobItem
from app.models.operator_errors import DatabaseUnusable, NotPossible
from app.operations.check import Report, check
from app.operations.job_items import mark_done, require_waiting, store_result
from app.operations.transaction import transaction
from app.utils.deadline import Deadline
from app.wire.encoder import encode


def check_input(late_seconds: int, deadline_seconds: int) -> str:
    """Return the input of a job that checks."""
    return json.dumps({"late_seconds": late_seconds, "deadline_seconds": deadline_seconds})


@contextmanager
def checking(settings: Settings) -> Iterator[Do]:
    """Check once. A check that takes too long is not tried again: it reads all tables."""
    yield partial(_check, settings)


def _check(settings: Settings, item: JobItem) -> None:
    given = json.loads(item.input)
    with transaction(settings) as connection:
        require_waiting(connection, item)
    deadline = Deadline(given["deadline_seconds"])
    try:
        report = check(settings, **given)
    except DatabaseUnusable as failure:
        if deadline.passed:
            raise NotPossible(str(failure)) from None
        raise
    with transaction(settings) as connection:
        mark_done(connection, item, sentence(report))
        store_result(connection, item, encode(report).decode())


def sentence(report: Report) -> str:
    """Return what came of a check. It quotes no value."""
    if report.ok:
        return "Nothing is wrong."
    first = report.findings[0].sentence
    return f"{first}." if len(report.findings) == 1 else f"{len(report.findings)} findings; the first: {first}."
