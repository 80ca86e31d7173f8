"""A drill as a job: it is carried out once, whoever ends meanwhile. `tests/browser` has one that comes to its end."""

import pytest

from app.models.drills import DrillName
from app.models.jobs import DRILL, JobItem
from app.models.operator_errors import NotFound, NotPossible
from app.operations import jobs
from app.operations.audit import Operator
from app.operations.drill_job import drill_input, drilling
from tests.harness.world import World


def begin(operator: Operator, name: str) -> JobItem:
    """Start the job; return its one item, as the thread of a process gets it."""
    given = drill_input("alice", "training")
    return JobItem(jobs.start(operator, DRILL, [name], reason="training", given=given), 0, name, given)


def test_a_drill_whose_process_ended_is_not_begun_again(untouched: World) -> None:
    settings = untouched.settings(DRILLS="1")
    operator = Operator(settings, "alice")
    item = begin(operator, DrillName.INSTANCE)
    with operator.change("drill") as change:
        line = change.record("drill instance", f"training (job {item.job_id}); begun, its end is not known")
    with drilling(settings) as do, pytest.raises(NotPossible, match=f"audit line {line} says"):
        do(item)


def test_another_job_may_begin_the_same_drill(untouched: World) -> None:
    settings = untouched.settings(DRILLS="0")
    operator = Operator(settings, "alice")
    with operator.change("drill") as change:
        change.record("drill leader", "training (job 17); begun, its end is not known")
    with drilling(settings) as do, pytest.raises(NotPossible, match="Drills are off"):
        do(begin(operator, DrillName.LEADER))


def test_there_is_no_job_for_an_unknown_drill(untouched: World) -> None:
    with pytest.raises(NotFound, match="There is no drill 'flood'"):
        begin(Operator(untouched.settings(), "alice"), "flood")
