"""Coalescing: everybody's item is committed once, in company where there is some, within everybody's deadline."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from app.models import coalescer
from app.models.coalescer import HURRIED_SECONDS, MOST_AT_ONCE, MOST_BYTES, Coalescer
from app.models.database import DatabaseBusy, OutcomeUnknown
from app.utils.deadline import Deadline


class Log:
    """Commits by noting the groups; `gate` closed holds the commits back."""

    def __init__(self) -> None:
        self.groups: list[list[str]] = []
        self.deadlines: list[float] = []
        self.gate = threading.Event()
        self.gate.set()
        self.error: Exception | None = None
        self.began = threading.Semaphore(0)

    def commit(self, items: Sequence[str], deadline: Deadline) -> Sequence[str]:
        self.began.release()
        assert self.gate.wait(10)
        if self.error is not None:
            raise self.error
        self.groups.append(list(items))
        self.deadlines.append(deadline.at)
        return [f"{item} done" for item in items]


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """However slow this machine is, nobody grows impatient."""
    monkeypatch.setattr(coalescer, "PATIENCE_SECONDS", 60.0)


@pytest.fixture
def log() -> Log:
    return Log()


@pytest.fixture
def group(log: Log) -> Coalescer[str, str]:
    return Coalescer(log.commit)


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(MOST_AT_ONCE + 20) as made:
        yield made


@pytest.fixture
def first(group: Coalescer[str, str], log: Log, threads: ThreadPoolExecutor) -> Future[str]:
    """A commit that is under way until the gate opens."""
    log.gate.clear()
    done = threads.submit(group.submit, "first", 1, Deadline(10))
    assert log.began.acquire(timeout=5)
    return done


def submit_all(
    group: Coalescer[str, str], threads: ThreadPoolExecutor, items: Sequence[str], seconds: float = 10
) -> list[Future[str]]:
    return [threads.submit(group.submit, item, 1, Deadline(seconds)) for item in items]


def await_waiting(group: Coalescer[str, str], members: int) -> None:
    """Block until so many members wait to be committed."""
    until(lambda: len(group._waiting) == members)


def until(holds: Callable[[], bool]) -> None:
    deadline = Deadline(5)
    while not holds():
        assert not deadline.passed
        time.sleep(0.005)


def test_a_lone_caller_is_committed_at_once(group: Coalescer[str, str], log: Log) -> None:
    for item in "abc":
        group.submit(item, 1, Deadline(10))
    assert log.groups == [["a"], ["b"], ["c"]]


def test_who_comes_during_a_commit_is_the_next_group(
    group: Coalescer[str, str], log: Log, threads: ThreadPoolExecutor, first: Future[str]
) -> None:
    others = submit_all(group, threads, "abcdef")
    await_waiting(group, 6)
    log.gate.set()
    for done in (first, *others):
        done.result(5)
    assert [sorted(items) for items in log.groups] == [["first"], list("abcdef")]


def test_everybody_is_told_what_became_of_his_own_item(
    group: Coalescer[str, str], log: Log, threads: ThreadPoolExecutor, first: Future[str]
) -> None:
    others = submit_all(group, threads, ["second", "third"])
    await_waiting(group, 2)
    log.gate.set()
    assert [future.result(5) for future in [first, *others]] == ["first done", "second done", "third done"]
    assert group.submit("hurried", 1, Deadline(HURRIED_SECONDS / 2)) == "hurried done"


def test_a_group_has_its_bound(
    group: Coalescer[str, str], log: Log, threads: ThreadPoolExecutor, first: Future[str]
) -> None:
    others = submit_all(group, threads, [str(number) for number in range(MOST_AT_ONCE + 10)])
    await_waiting(group, MOST_AT_ONCE + 10)
    log.gate.set()
    for done in (first, *others):
        done.result(5)
    assert [len(items) for items in log.groups] == [1, MOST_AT_ONCE, 10]


def test_under_load_everything_is_committed_exactly_once(
    group: Coalescer[str, str], log: Log, threads: ThreadPoolExecutor
) -> None:
    items = [str(number) for number in range(3000)]
    for done in submit_all(group, threads, items):
        done.result(10)
    assert sorted(item for items in log.groups for item in items) == sorted(items)


def test_a_failure_is_the_failure_of_the_whole_group_and_of_no_other(
    group: Coalescer[str, str], log: Log, threads: ThreadPoolExecutor, first: Future[str]
) -> None:
    others = submit_all(group, threads, "ab")
    await_waiting(group, 2)
    log.error = DatabaseBusy("The database is busy")
    log.gate.set()
    for done in (first, *others):
        assert isinstance(done.exception(5), DatabaseBusy)
    log.error = None
    group.submit("next", 1, Deadline(10))
    assert log.groups == [["next"]]


def test_who_never_got_a_turn_is_told_that_nothing_was_done_and_the_rest_go_on(
    group: Coalescer[str, str], log: Log, threads: ThreadPoolExecutor, first: Future[str]
) -> None:
    hurried = threads.submit(group.submit, "hurried", 1, Deadline(HURRIED_SECONDS + 0.1))
    await_waiting(group, 1)
    patient = threads.submit(group.submit, "patient", 1, Deadline(10))
    assert isinstance(hurried.exception(5), DatabaseBusy)
    log.gate.set()
    first.result(5)
    patient.result(5)
    assert log.groups == [["first"], ["patient"]]


def test_who_waits_for_a_leader_that_does_not_come_back_does_not_know(
    group: Coalescer[str, str], log: Log, threads: ThreadPoolExecutor, first: Future[str]
) -> None:
    second = threads.submit(group.submit, "second", 1, Deadline(10))
    await_waiting(group, 1)
    third = threads.submit(group.submit, "third", 1, Deadline(1.0))
    await_waiting(group, 2)
    held, log.gate = log.gate, threading.Event()
    held.set()
    first.result(5)
    assert log.began.acquire(timeout=5)
    assert isinstance(third.exception(5), OutcomeUnknown)
    log.gate.set()
    second.result(5)


def test_who_has_little_time_left_goes_alone(
    group: Coalescer[str, str], log: Log, threads: ThreadPoolExecutor, first: Future[str]
) -> None:
    late = threads.submit(group.submit, "late", 1, Deadline(HURRIED_SECONDS / 2))
    assert log.began.acquire(timeout=5)
    log.gate.set()
    late.result(5)
    first.result(5)
    assert sorted(log.groups) == [["first"], ["late"]]


def test_a_group_has_its_bound_in_bytes_too(
    group: Coalescer[str, str], log: Log, threads: ThreadPoolExecutor, first: Future[str]
) -> None:
    half = MOST_BYTES // 2
    others = []
    for number, size in enumerate((half, half, 1, MOST_BYTES + 1, 1)):
        others.append(threads.submit(group.submit, str(number), size, Deadline(10)))
        await_waiting(group, number + 1)
    log.gate.set()
    for done in (first, *others):
        done.result(5)
    assert log.groups == [["first"], ["0", "1"], ["2"], ["3"], ["4"]]


def test_who_has_less_time_does_not_cut_the_others_short(
    group: Coalescer[str, str], log: Log, threads: ThreadPoolExecutor, first: Future[str]
) -> None:
    """The group has the time of its leader; the other gives up for himself alone."""
    patient = threads.submit(group.submit, "patient", 1, Deadline(10))
    await_waiting(group, 1)
    hurried = threads.submit(group.submit, "hurried", 1, Deadline(HURRIED_SECONDS + 0.4))
    await_waiting(group, 2)
    log.gate.set()
    for done in (first, patient, hurried):
        done.result(5)
    assert log.groups == [["first"], ["patient", "hurried"]]
    assert log.deadlines[1] >= log.deadlines[0]  # not the hurried one's, which is nine seconds earlier


def test_a_leader_whose_time_has_run_down_leads_nobody(
    group: Coalescer[str, str], log: Log, threads: ThreadPoolExecutor, first: Future[str]
) -> None:
    deadline = Deadline(HURRIED_SECONDS + 0.3)
    hurried = threads.submit(group.submit, "hurried", 1, deadline)
    await_waiting(group, 1)
    patient = threads.submit(group.submit, "patient", 1, Deadline(10))
    await_waiting(group, 2)
    until(lambda: deadline.remaining < HURRIED_SECONDS)
    log.gate.set()
    for done in (first, hurried, patient):
        done.result(5)
    assert sorted(log.groups) == [["first"], ["hurried"], ["patient"]]


def test_a_leader_that_is_stuck_is_not_waited_for(
    group: Coalescer[str, str],
    log: Log,
    threads: ThreadPoolExecutor,
    first: Future[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(coalescer, "PATIENCE_SECONDS", 0.1)
    stuck, log.gate = log.gate, threading.Event()
    log.gate.set()
    others = submit_all(group, threads, "abcdef")
    assert [future.result(5) for future in others] == [f"{item} done" for item in "abcdef"]
    assert not first.done()
    assert group.submit("late", 1, Deadline(10)) == "late done"
    stuck.set()
    assert first.result(5) == "first done"
    assert sorted(item for items in log.groups for item in items) == sorted([*"abcdef", "first", "late"])
    assert group._leading == []
    assert not group._waiting
