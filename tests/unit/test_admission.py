"""How long the line may get follows how fast it moves. Time is an argument."""

from collections import deque
from collections.abc import Iterator

import pytest

from app.utils.admission import (
    BURST,
    BURST_SECONDS,
    LEAST,
    LOOK_SECONDS,
    PASSES,
    STANDING,
    WAIT_SECONDS,
    Admission,
    Priority,
)


class Looks:
    """An admission and its clock."""

    def __init__(self) -> None:
        self.admission = Admission()
        self.now = 100.0

    def look(self, *, waiting: int, rate: float, seconds: float = 2 * BURST_SECONDS, late: float = 0.0) -> None:
        """Look for so long at a line that moves at the rate."""
        for _ in range(round(seconds / LOOK_SECONDS)):
            self.now += LOOK_SECONDS
            self.admission.look(self.now, waiting=waiting, served=round(rate * LOOK_SECONDS), late=late)


def longest(admission: Admission, priority: Priority = Priority.WRITE) -> int:
    """Return the longest line that a request of this kind may join."""
    return next(waiting for waiting in range(100_000) if not admission.admits(priority, waiting))


def test_before_anything_is_known_a_burst_is_taken() -> None:
    assert longest(Admission()) == BURST


@pytest.mark.parametrize("rate", [200, 2000, 10_000])
def test_the_line_holds_what_leaves_it_within_the_wait(rate: float) -> None:
    looks = Looks()
    looks.look(waiting=40, rate=rate)
    assert longest(looks.admission) == pytest.approx(max(rate * WAIT_SECONDS, LEAST), rel=0.01)


def test_a_line_that_does_not_move_holds_the_least() -> None:
    looks = Looks()
    looks.look(waiting=40, rate=0)
    assert longest(looks.admission) == LEAST


def test_a_line_that_has_just_begun_holds_a_burst() -> None:
    looks = Looks()
    looks.look(waiting=40, rate=20, seconds=BURST_SECONDS / 2)
    assert longest(looks.admission) == BURST


def test_waits_that_end_between_two_looks_are_no_line() -> None:
    looks = Looks()
    looks.look(waiting=40, rate=0)
    looks.look(waiting=0, rate=0, seconds=LOOK_SECONDS)
    for waiting in (900, 0) * 50:
        looks.look(waiting=waiting, rate=20, seconds=LOOK_SECONDS)
    assert longest(looks.admission) == BURST


def test_a_few_that_always_wait_for_the_next_group_are_no_line() -> None:
    looks = Looks()
    looks.look(waiting=STANDING - 1, rate=100)
    assert longest(looks.admission) == BURST


def test_lists_go_first_then_reads_then_writes_then_repeats() -> None:
    looks = Looks()
    looks.look(waiting=40, rate=1000)
    lengths = [longest(looks.admission, priority) for priority in Priority]
    assert lengths == sorted(set(lengths))


def test_a_loop_that_stays_late_shortens_the_line_and_one_pause_hardly_does() -> None:
    looks = Looks()
    looks.look(waiting=40, rate=4000)
    before = longest(looks.admission)
    looks.look(waiting=40, rate=4000, seconds=LOOK_SECONDS, late=0.1)
    assert 0.85 * before < longest(looks.admission) < before
    looks.look(waiting=40, rate=4000, late=WAIT_SECONDS / PASSES / 2)
    assert longest(looks.admission) == pytest.approx(before / 2, rel=0.05)
    looks.look(waiting=40, rate=4000, late=5.0)
    assert LEAST < longest(looks.admission) < before / 2


STEP = 0.002


def served(arrivals: Iterator[int], capacity: float, seconds: float) -> tuple[int, list[tuple[float, float]]]:
    """Return how many writes were turned away, and of each answered one when it was and how long it waited.

    `arrivals`: how many arrive in each step; `capacity`: how many are answered a second.
    """
    admission, line, answered = Admission(), deque[float](), list[tuple[float, float]]()
    shed = ended = 0
    time_left = 0.0
    for step in range(round(seconds / STEP)):
        now = step * STEP
        for _ in range(next(arrivals)):
            if admission.admits(Priority.WRITE, len(line)):
                line.append(now)
            else:
                shed += 1
        time_left = min(time_left + STEP, STEP + 1 / capacity)
        while line and time_left >= 1 / capacity:
            time_left -= 1 / capacity
            ended += 1
            answered.append((now, now - line.popleft()))
        if step % round(LOOK_SECONDS / STEP) == 0:
            admission.look(now, waiting=len(line), served=ended, late=0.0)
            ended = 0
    return shed, answered


def spread(rate: float) -> Iterator[int]:
    """Yield how many arrive in each step."""
    due = 0.0
    while True:
        due += rate * STEP
        yield int(due)
        due -= int(due)


@pytest.mark.parametrize("capacity", [200.0, 1000.0])
@pytest.mark.parametrize("times", [2, 10])
def test_more_than_can_be_done_is_turned_away_and_the_rest_done_within_a_second(capacity: float, times: int) -> None:
    shed, answered = served(spread(capacity * times), capacity, 10.0)
    assert len(answered) >= 0.98 * capacity * 10
    assert shed >= 0.9 * capacity * (times - 1) * 10 - BURST
    assert max(wait for at, wait in answered if at > 4) < 1.0


def test_nothing_is_turned_away_of_less_than_can_be_done() -> None:
    assert served(spread(950), 1000, 10.0)[0] == 0


def test_a_burst_of_two_hundred_is_taken_however_slow_the_database_is() -> None:
    shed, answered = served(iter([200, *[0] * 8_000]), 20, 12.0)
    assert (shed, len(answered)) == (0, 200)
