"""A drill as a job: an operator asks, a process of the service carries it out, and the report stays with the job.

It is the one job that writes the audit, because a drill does: the service's user needs the right to.
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial

from sqlalchemy import Connection, select

from app.config.config import Settings
from app.models.drills import DrillName
from app.models.jobs import Do, JobItem
from app.models.operator_errors import NotFound, NotPossible
from app.models.service_tables import operator_actions as actions
from app.operations.audit import Operator
from app.operations.drills import DrillReport, drill
from app.operations.job_items import mark_done, require_waiting, store_result
from app.operations.transaction import transaction
from app.wire.encoder import encode


def drill_input(who: str, reason: str) -> str:
    """Return the input of a job that drills: whose drill it is, and why."""
    return json.dumps({"who": who, "reason": reason})


def require_drill(_: Connection, subjects: Sequence[str]) -> None:
    """Raise NotFound unless all of them are drills."""
    for subject in subjects:
        if subject not in list(DrillName):
            raise NotFound(f"There is no drill {subject!r}: it is one of {', '.join(DrillName)}.")


@contextmanager
def drilling(settings: Settings) -> Iterator[Do]:
    """Carry out each drill once. If its process ends meanwhile, nobody begins it again: the audit tells the rest."""
    yield partial(_drill, settings)


def _drill(settings: Settings, item: JobItem) -> None:
    given, mark = json.loads(item.input), f"(job {item.job_id})"
    with transaction(settings) as connection:
        require_waiting(connection, item)
        begun = select(actions.c.id).where(
            actions.c.subject == f"drill {item.subject}", actions.c.detail.contains(mark)
        )
        line = connection.scalar(begun.order_by(actions.c.id.desc()).limit(1))
    if line is not None:
        raise NotPossible(f"The process that began this drill has ended: audit line {line} says how far it was.")
    operator = Operator(settings, given["who"])
    report = drill(operator, DrillName(item.subject), reason=f"{given['reason']} {mark}")
    with transaction(settings) as connection:
        mark_done(connection, item, _sentence(report))
        store_result(connection, item, encode(report).decode())


def _sentence(report: DrillReport) -> str:
    return (
        f"Taken by {report.taken_by}: {report.acted}. Quiet after {report.quiet_seconds:.1f} s. "
        f"Order {report.canary.order_id} went through in {report.canary.seconds:.1f} s. "
        f"{report.wrong or 'Nothing is wrong.'}"
    )
