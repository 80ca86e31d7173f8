"""On which CPU a worker process is. The process of the tests is moved, and let go again."""

import os
import threading
from collections.abc import Iterator
from contextlib import suppress

import pytest

from app.utils import placement
from app.utils.placement import Placement, parse_stat, take_turns, where_to_be

STAT = """cpu  300 0 100 1000 50 5 5 20 0 0
cpu0 100 10 50 500 40 3 3 14 7 7
cpu3 200 0 50 500 10 2 2 6 0 0
intr 12345 0
"""


def test_busy_is_all_but_idle_and_waiting() -> None:
    """Guests (the last two columns) are in the user's time already."""
    seconds = {cpu: busy * placement.TICKS_A_SECOND for cpu, busy in parse_stat(STAT).items()}
    assert seconds == pytest.approx({0: 100 + 10 + 50 + 3 + 3 + 14, 3: 200 + 50 + 2 + 2 + 6})


@pytest.mark.parametrize(
    ("current", "others", "expected"),
    [
        (0, {0: 0.0, 1: 0.0}, 0),
        (1, {0: 0.0, 1: 0.0}, 1),
        (0, {0: 0.2, 1: 0.0}, 0),
        (0, {0: 0.3, 1: 0.0}, 1),
        (0, {0: 0.9, 1: 0.8}, 0),
        (2, {0: 0.5, 1: 0.1, 2: 0.9}, 1),
        (5, {0: 0.5, 1: 0.4}, 1),
        (5, {0: 0.9, 1: 0.8}, 5),
        (0, {0: 0.9}, 0),
    ],
)
def test_it_moves_only_where_that_pays(current: int, others: dict[int, float], expected: int) -> None:
    """The CPU 5 is not among those that are told of; it counts as full."""
    assert where_to_be(current, others, 0.1) == expected


@pytest.mark.parametrize(
    ("own", "others", "expected"),
    [
        (0.5, {0: 0.5, 1: 0.6}, 1),  # two of us on one CPU, the rest of the system on the other
        (0.5, {0: 0.5, 1: 0.8}, 0),
        (0.4, {0: 0.5, 1: 0.6}, 0),
        (0.7, {0: 0.3, 1: 0.2}, 0),
        (0.3, {0: 0.7, 1: 0.9, 2: 0.7}, 2),
        (0.9, {0: 0.5}, 0),
    ],
)
def test_two_that_fill_a_cpu_part_where_there_is_room(own: float, others: dict[int, float], expected: int) -> None:
    """With a CPU that is not full, or hardly shared, nobody moves."""
    assert where_to_be(0, others, own) == expected


@pytest.fixture
def allowed(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """The CPUs that this process may use; it may again when the test is over."""
    monkeypatch.setattr(placement, "LOOK_SECONDS", 0.0)
    before = os.sched_getaffinity(0)
    yield sorted(before)
    for thread in os.listdir("/proc/self/task"):
        with suppress(ProcessLookupError):  # another test's thread may end meanwhile
            os.sched_setaffinity(int(thread), before)


def affinities() -> set[frozenset[int]]:
    """Return what the threads of this process may use."""
    return {frozenset(os.sched_getaffinity(int(thread))) for thread in os.listdir("/proc/self/task")}


def test_every_thread_keeps_to_the_cpu_that_others_leave(allowed: list[int]) -> None:
    """Also threads that were there before, and those that start later."""
    stop = threading.Event()
    early = threading.Thread(target=stop.wait, args=(60,))
    early.start()
    busy = dict.fromkeys(allowed, 100.0)
    kept = Placement(1, lambda: dict(busy))
    first = allowed[1 % len(allowed)]
    late = threading.Thread(target=stop.wait, args=(60,))
    late.start()
    try:
        assert affinities() == {frozenset({first})}
        kept.look()
        assert affinities() == {frozenset({first})}
        busy[first] += 3600.0
        kept.look()
        moved = affinities()
        assert len(moved) == 1
        assert moved != {frozenset({first})} or len(allowed) == 1
        kept.look()
        assert affinities() == moved
    finally:
        stop.set()
        early.join()
        late.join()


def test_siblings_begin_on_different_cpus(allowed: list[int]) -> None:
    """As far as there are CPUs."""
    busy = dict.fromkeys(allowed, 1.0)
    places = set()
    for number in range(len(allowed)):
        os.sched_setaffinity(0, allowed)
        places.add(Placement(number, lambda: busy).cpu)
    assert places == set(allowed)


def test_its_own_work_does_not_drive_it_away(allowed: list[int]) -> None:
    """Only what others take counts."""
    busy = dict.fromkeys(allowed, 0.0)
    kept = Placement(0, lambda: dict(busy))
    began = os.times()
    while sum(os.times()[:2]) - sum(began[:2]) < 0.3:
        pass
    busy[kept.cpu] += 0.3
    first = kept.cpu
    kept.look()
    assert kept.cpu == first


def test_one_cpu_or_nothing_told_and_it_stays_out_of_it(allowed: list[int]) -> None:
    """No file under /proc, a CPU that is not told of, or no choice."""

    def not_told() -> dict[int, float]:
        raise FileNotFoundError("/proc/stat")

    before = affinities()
    for busy in (not_told, dict[int, float]):
        Placement(0, busy).look()
        assert affinities() == before
    os.sched_setaffinity(0, {allowed[0]})
    Placement(1).look()
    assert os.sched_getaffinity(0) == {allowed[0]}


def test_where_moving_is_forbidden_it_stays_out_of_it(
    allowed: list[int], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A sandbox may tell which CPUs there are, and still not let a process choose."""
    busy = dict.fromkeys(allowed, 0.0)

    def forbidden(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    with caplog.at_level("INFO"), monkeypatch.context() as patch:
        patch.setattr(os, "sched_setaffinity", forbidden)
        Placement(0, lambda: dict(busy)).look()
    assert len(allowed) == 1 or "not kept on one CPU: Operation not permitted" in caplog.text


def test_when_its_cpus_are_taken_away_it_lets_go(allowed: list[int], caplog: pytest.LogCaptureFixture) -> None:
    """A container's CPUs may be changed while it runs."""
    busy = dict.fromkeys(allowed, 0.0)
    kept = Placement(0, lambda: dict(busy))
    gone = max(allowed) + 4096
    kept._allowed = [kept.cpu, gone]
    busy |= {gone: 0.0}
    kept.look()
    busy[kept.cpu] += 3600.0
    kept.look()
    assert "no longer kept on one CPU: Invalid argument" in caplog.text
    kept.look()


def test_a_thread_and_those_that_it_starts_take_turns() -> None:
    """Other threads of the process go on as they were; the service's main thread asks before it starts any."""
    found = []

    def look() -> None:
        found.append(os.sched_getscheduler(0))

    def first() -> None:
        take_turns()
        look()
        second = threading.Thread(target=look)
        second.start()
        second.join()

    thread = threading.Thread(target=first)
    thread.start()
    thread.join()
    assert found == [os.SCHED_BATCH, os.SCHED_BATCH]
    assert os.sched_getscheduler(0) == os.SCHED_OTHER


def test_where_taking_turns_is_forbidden_it_goes_on(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Some sandboxes forbid the call, some systems have none."""

    def forbidden(*_: object) -> None:
        raise PermissionError("forbidden")

    monkeypatch.setattr(os, "sched_setscheduler", forbidden)
    with caplog.at_level("INFO"):
        take_turns()
        monkeypatch.delattr(os, "sched_setscheduler")
        take_turns()
    assert caplog.text.count("threads do not take turns") == 2
