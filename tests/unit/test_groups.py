"""Groups: everybody's item is committed once, in company where there is some, within everybody's deadline."""

import time
from collections.abc import Sequence

import pytest

from app.database import groups
from app.database.groups import HURRIED_SECONDS, MOST_AT_ONCE, MOST_BYTES, Groups
from app.models.errors import DatabaseBusy, OutcomeUnknown
from app.utils.deadline import Deadline
from app.utils.tasks import Gate, sleep
from tests.harness.tasks import Started, in_a_task, run_in_a_task, start, until


class Log:
    """Commits by noting the groups; while it is held, a commit waits."""

    def __init__(self) -> None:
        self.groups: list[list[str]] = []
        self.deadlines: list[float] = []
        self.held: Gate | None = None
        self.error: Exception | None = None
        self.begun = 0

    def hold(self) -> Gate:
        self.held = Gate()
        return self.held

    def commit(self, items: Sequence[str], deadline: Deadline) -> Sequence[str]:
        self.begun += 1
        if self.held is not None:
            held, self.held = self.held, None
            assert held.wait(10)
        if self.error is not None:
            raise self.error
        self.groups.append(list(items))
        self.deadlines.append(deadline.at)
        return [f"{item} done" for item in items]


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """However slow this machine is, nobody grows impatient."""
    monkeypatch.setattr(groups, "PATIENCE_SECONDS", 60.0)


@pytest.fixture
def log() -> Log:
    return Log()


@pytest.fixture
def group(log: Log) -> Groups[str, str]:
    return Groups("test", log.commit)


def submit(group: Groups[str, str], item: str, seconds: float = 10, size: int = 1) -> Started:
    """Ask for an item from a task of its own, and let it come as far as it can."""
    started = start(group.submit, item, size, Deadline(seconds))
    sleep(0)
    return started


def held_first(group: Groups[str, str], log: Log) -> tuple[Started, Gate]:
    """Return a commit that is under way until the gate opens."""
    gate = log.hold()
    first = submit(group, "first")
    until(lambda: log.begun == 1)
    return first, gate


@in_a_task
def test_a_lone_caller_is_committed_at_once(group: Groups[str, str], log: Log) -> None:
    for item in "abc":
        assert group.submit(item, 1, Deadline(10)) == f"{item} done"
    assert log.groups == [["a"], ["b"], ["c"]]


def test_a_thread_asks_alone(group: Groups[str, str], log: Log) -> None:
    assert group.submit("a", 1, Deadline(10)) == "a done"
    assert log.groups == [["a"]]


@in_a_task
def test_who_comes_during_a_commit_is_the_next_group(group: Groups[str, str], log: Log) -> None:
    first, gate = held_first(group, log)
    others = [submit(group, item) for item in "abcdef"]
    gate.open()
    assert [it.result() for it in (first, *others)] == ["first done", *(f"{item} done" for item in "abcdef")]
    assert log.groups == [["first"], list("abcdef")]


@in_a_task
def test_a_group_has_its_bound(group: Groups[str, str], log: Log) -> None:
    first, gate = held_first(group, log)
    others = [submit(group, str(number)) for number in range(MOST_AT_ONCE + 10)]
    gate.open()
    for it in (first, *others):
        it.result()
    assert [len(items) for items in log.groups] == [1, MOST_AT_ONCE, 10]


@in_a_task
def test_a_group_has_its_bound_in_bytes_too(group: Groups[str, str], log: Log) -> None:
    first, gate = held_first(group, log)
    half = MOST_BYTES // 2
    sizes = (half, half, 1, MOST_BYTES + 1, 1)
    others = [submit(group, str(number), size=size) for number, size in enumerate(sizes)]
    gate.open()
    for it in (first, *others):
        it.result()
    assert log.groups == [["first"], ["0", "1"], ["2"], ["3"], ["4"]]


@in_a_task
def test_under_load_everything_is_committed_exactly_once(group: Groups[str, str], log: Log) -> None:
    items = [str(number) for number in range(3000)]
    for it in [submit(group, item) for item in items]:
        it.result()
    assert sorted(item for items in log.groups for item in items) == sorted(items)


@in_a_task
def test_a_failure_is_the_failure_of_the_whole_group_and_of_no_other(group: Groups[str, str], log: Log) -> None:
    first, gate = held_first(group, log)
    others = [submit(group, item) for item in "ab"]
    log.error = DatabaseBusy("The database is busy")
    gate.open()
    for it in (first, *others):
        assert isinstance(it.failure(), DatabaseBusy)
    log.error = None
    group.submit("next", 1, Deadline(10))
    assert log.groups == [["next"]]


@in_a_task
def test_a_mistake_of_the_service_leaves_nobody_waiting(group: Groups[str, str], log: Log) -> None:
    first, gate = held_first(group, log)
    other = submit(group, "other")
    log.error = ZeroDivisionError()
    gate.open()
    assert isinstance(first.failure(), ZeroDivisionError)
    assert isinstance(other.failure(), ZeroDivisionError)
    log.error = None
    assert group.submit("next", 1, Deadline(10)) == "next done"


@in_a_task
def test_who_never_got_a_turn_is_told_that_nothing_was_done_and_the_rest_go_on(
    group: Groups[str, str], log: Log
) -> None:
    first, gate = held_first(group, log)
    hurried = submit(group, "hurried", HURRIED_SECONDS + 0.1)
    patient = submit(group, "patient")
    assert isinstance(hurried.failure(), DatabaseBusy)
    gate.open()
    first.result()
    patient.result()
    assert log.groups == [["first"], ["patient"]]


@in_a_task
def test_who_waits_for_a_commit_that_does_not_come_back_does_not_know(group: Groups[str, str], log: Log) -> None:
    gate = log.hold()
    first = submit(group, "first", HURRIED_SECONDS + 0.1)
    assert isinstance(first.failure(), OutcomeUnknown)
    gate.open()


@in_a_task
def test_who_has_little_time_left_goes_alone(group: Groups[str, str], log: Log) -> None:
    first, gate = held_first(group, log)
    assert submit(group, "late", HURRIED_SECONDS / 2).result() == "late done"
    gate.open()
    first.result()
    assert log.groups == [["late"], ["first"]]


@in_a_task
def test_who_has_less_time_does_not_cut_the_others_short(group: Groups[str, str], log: Log) -> None:
    """The group has the time of its most patient member; the others give up for themselves alone."""
    first, gate = held_first(group, log)
    began = time.monotonic()
    hurried = submit(group, "hurried", HURRIED_SECONDS + 5)
    patient = submit(group, "patient", 10)
    gate.open()
    for it in (first, hurried, patient):
        it.result()
    assert log.groups == [["first"], ["hurried", "patient"]]
    assert log.deadlines[1] >= began + 10


def test_a_commit_that_is_stuck_is_not_waited_for(
    group: Groups[str, str], log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(groups, "PATIENCE_SECONDS", 0.1)

    def scenario() -> None:
        stuck, gate = held_first(group, log)
        others = [submit(group, item) for item in "abcdef"]
        assert [it.result() for it in others] == [f"{item} done" for item in "abcdef"]
        assert not stuck.is_done
        assert group.submit("late", 1, Deadline(10)) == "late done"
        gate.open()
        assert stuck.result() == "first done"
        assert sorted(item for items in log.groups for item in items) == sorted([*"abcdef", "first", "late"])
        assert not group._running
        assert not group.line

    run_in_a_task(scenario)


def test_who_comes_while_one_is_stuck_and_one_works_is_next(
    group: Groups[str, str], log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(groups, "PATIENCE_SECONDS", 0.1)

    def scenario() -> None:
        stuck, gate = held_first(group, log)
        sleep(0.2)
        works = log.hold()
        second = submit(group, "second")
        until(lambda: log.begun == 2)
        third = submit(group, "third")
        works.open()
        assert second.result() == "second done"
        assert third.result() == "third done"
        assert not stuck.is_done
        gate.open()
        stuck.result()

    run_in_a_task(scenario)
