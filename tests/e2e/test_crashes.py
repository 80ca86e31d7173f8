"""Whole processes die under load, and nothing is lost, done twice or announced twice. Short forms of tests/faults."""

from collections import Counter

import pytest

from tests.faults import accept_race, fail_points
from tests.faults.kill_one import kill_under_load
from tests.faults.row import Load, Row
from tests.harness.found import await_quiet
from tests.harness.history import History
from tests.harness.load import GIVEN_UP
from tests.harness.stack import Stack

SEED = 7
QUIET_SECONDS = 40.0  # what is proved here is what comes out; how soon, tests/faults measures
ANSWERED_SECONDS = 20.0
LOAD = {"wishes": 60.0, "commands": 60.0}


def violations(stack: Stack, load: Load) -> list[str]:
    """Wait for quiet and return what the checker finds."""
    await_quiet(stack, QUIET_SECONDS)
    row = Row("short")
    load.judge(stack, row)
    return row.violations


def statuses(history: History) -> Counter[int | None]:
    answered = (it.value for it in history.operations if "status" in it.value and it.value["lost"] != GIVEN_UP)
    return Counter(value["status"] for value in answered)


def test_kill_9_of_one_of_two_instances_loses_nothing_and_doubles_nothing(stack: Stack) -> None:
    """[K3] [K7] [K8] [K10] [K13] [H15]"""
    load = Load()
    stack.start(2)
    kill_under_load(stack, load, SEED, times=3)
    assert violations(stack, load) == []
    assert len(load.history.operations) > 500


@pytest.mark.parametrize("point", ["after_acknowledgement"])
def test_a_crash_between_acknowledgement_and_delete_leaves_no_twin(stack: Stack, point: str) -> None:
    """[K13]"""
    load = Load()
    for _ in range(2):
        stack.instance(wsgi="tests.faults.failing_app:app")
    assert fail_points.strike_under_load(stack, load, SEED, point, times=1) >= 1
    assert violations(stack, load) == []
    assert sum(stack.read_backs()) >= 1


def test_of_twenty_runners_at_two_instances_exactly_one_gets_the_order(stack: Stack) -> None:
    """[R5] [H9]"""
    row = Row("short")
    stack.start(2)
    orders = accept_race.new_orders(stack.ports[0], 20)
    accept_race.judge(stack, accept_race.race(stack.ports, orders), row)
    assert row.violations == []


def test_every_2xx_survives_a_crash_of_postgresql_and_callers_see_503_only(stack: Stack) -> None:
    """[H1]"""
    load = Load()
    stack.start(2)
    with load.running(stack, SEED, **LOAD):
        load.await_writes(50, seconds=ANSWERED_SECONDS)
        stack.postgres.stop("immediate")
        load.await_writes(10, 503, seconds=ANSWERED_SECONDS)
        stack.postgres.start()
        load.await_writes(50, seconds=ANSWERED_SECONDS)
    assert violations(stack, load) == []
    assert statuses(load.history).keys() <= {200, 201, 400, 404, 409, 503}


def test_callers_notice_nothing_of_a_broker_that_is_killed_and_restarted(stack: Stack) -> None:
    """[K13]"""
    load = Load()
    stack.start(2)
    with load.running(stack, SEED, wishes=60, commands=0):
        with load.running(stack, SEED + 1, wishes=0, commands=60):
            load.await_writes(50, seconds=ANSWERED_SECONDS)
        stack.broker.kill()  # no producer of ours now: kafka-python leaks a socket for each attempt that fails
        load.await_writes(50, seconds=ANSWERED_SECONDS)
        stack.broker.start()
        with load.running(stack, SEED + 2, wishes=0, commands=60):
            load.await_writes(50, seconds=ANSWERED_SECONDS)
    assert violations(stack, load) == []
    assert statuses(load.history).keys() <= {200, 201, 400, 404, 409}


def test_without_a_broker_http_works_and_the_backlog_drains_when_it_comes(stack: Stack) -> None:
    """[K3]"""
    load = Load()
    stack.broker.kill()
    try:
        stack.start(2)
        with load.running(stack, SEED, wishes=100, commands=0):
            load.await_writes(200, seconds=ANSWERED_SECONDS)
    finally:
        stack.broker.start()
    assert violations(stack, load) == []
    assert statuses(load.history).keys() <= {200, 201, 400, 404, 409}
