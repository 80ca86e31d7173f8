"""The consistency check as a job: its last result is at every process, and rings until a check finds nothing."""

import math
from datetime import timedelta
from typing import Any

import pytest

from app.operations.audit import Operator
from app.operations.jobs import Job, show, start
from app.services import jobs, watch
from app.services.nightly import Nightly
from tests.cli.test_orders import an_order
from tests.harness.terminal import Terminal
from tests.harness.world import World, wait_for
from tests.integration.test_watch import metric


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads look more often: the test would wait for it."""
    monkeypatch.setattr(jobs, "LOOK_SECONDS", 0.1)
    monkeypatch.setattr(watch, "WATCH_LOOK_SECONDS", 0.3)


def check(world: World) -> Job:
    """Start a check and return the job once it is over."""
    job_id = Terminal(world).json("check", "--job")["job"]
    wait_for(lambda: show(world.settings(), job_id).is_over, "the check")
    return show(world.settings(), job_id)


def findings(app: Any) -> float:
    return metric(app, "order_check_findings")


def test_a_check_that_finds_something_rings_everywhere_until_one_finds_nothing(world: World) -> None:
    app = world.start()
    assert math.isnan(findings(app))
    assert math.isnan(metric(app, "order_check_age_seconds"))
    an_order(world, "order-1", 0)
    world.query("UPDATE orders SET version = 5")
    job = check(world)
    sentence = "The version of an order is not that of its last line of history"
    assert (job.state, job.outcome) == ("done", f"{sentence}.")
    assert [(it["check"], it["examples"]) for it in job.result["findings"]] == [("version", ["order-1 (5, history 1)"])]
    api = world.start(ROLES="api")
    rung = wait_for(lambda: world.alarm("check"), "the alarm")
    assert rung == f"The consistency check found: {sentence} (`flask orders jobs show {job.id}`)"
    wait_for(lambda: findings(api) == findings(app) == 1, "the metric")
    assert 0 <= metric(api, "order_check_age_seconds") < 60
    world.query("UPDATE orders SET version = 1")
    assert check(world).outcome == "Nothing is wrong."  # the alarm of the check is no finding of the check
    wait_for(lambda: not world.alarm("check"), "the end of the alarm")
    wait_for(lambda: findings(api) == 0, "the metric")


def test_a_check_that_takes_too_long_is_not_tried_again(untouched: World) -> None:
    given = '{"late_seconds": 60, "deadline_seconds": 1}'
    job_id = start(Operator(untouched.settings(), "alice"), "check", reason="by hand", given=given)
    with_lock = "BEGIN; LOCK TABLE orders IN ACCESS EXCLUSIVE MODE"
    untouched.query(with_lock)
    untouched.start(ROLES="worker", SCHEMA="check")
    try:
        wait_for(lambda: untouched_job(untouched, job_id) == "failed", "the end of the check")
    finally:
        untouched.query("ROLLBACK")


def untouched_job(world: World, job_id: int) -> str:
    return show(world.settings(), job_id).state


def test_two_processes_start_one_check_a_night(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both notice that the time has come."""
    made = Nightly.__init__

    def due(self: Nightly, at: str) -> None:
        made(self, at)
        if self._next is not None:
            self._next -= timedelta(days=1)

    monkeypatch.setattr(Nightly, "__init__", due)
    world.start(CHECK_AT="03:30")
    world.start(CHECK_AT="03:30")
    world.start(CHECK_AT="")
    wait_for(lambda: world.count("jobs", "state = 'done'") == 1, "the check")
    ((who, reason, once),) = world.query("SELECT who, reason, once FROM jobs")
    assert (who, reason, once[:6]) == ("the service", "each night (CHECK_AT)", "check ")
