"""Turns: one at a time for each name, in order; behind one that is stuck only a few wait."""

import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from app.utils import turns
from app.utils.deadline import Deadline
from app.utils.turns import Turns


class Late(Exception):
    """It took too long."""


def hold(queue: Turns, name: str, order: list[int] | None = None, number: int = 0, seconds: float = 20) -> bool:
    with queue.take(name, Deadline(seconds), Late()) as waited:
        if order is not None:
            order.append(number)
        return waited


def await_length(queue: Turns, name: str, length: int) -> None:
    deadline = Deadline(20)
    while len(queue._queues.get(name, ())) != length:
        assert not deadline.passed
        time.sleep(0.001)


def test_turns_are_taken_in_the_order_of_coming() -> None:
    queue = Turns()
    order: list[int] = []
    with ThreadPoolExecutor(8) as threads:
        with queue.take("a", Deadline(20), Late()) as waited:
            assert not waited
            waiting: list[Future[bool]] = []
            for number in range(8):
                waiting.append(threads.submit(hold, queue, "a", order, number))
                await_length(queue, "a", number + 2)
            assert hold(queue, "b") is False
        assert all(one.result(20) for one in waiting)
    assert order == list(range(8))
    assert queue._queues == {}


def test_whoever_is_late_leaves_and_the_next_has_the_turn() -> None:
    queue = Turns()
    with ThreadPoolExecutor(2) as threads:
        with queue.take("a", Deadline(20), Late()):
            late = threads.submit(hold, queue, "a", seconds=0.05)
            await_length(queue, "a", 2)
            patient = threads.submit(hold, queue, "a")
            with pytest.raises(Late):
                late.result(20)
        assert patient.result(20)
    assert queue._queues == {}


def test_a_body_that_raises_gives_its_turn_to_the_next() -> None:
    queue = Turns()
    with pytest.raises(KeyError), queue.take("a", Deadline(20), Late()):
        raise KeyError
    assert hold(queue, "a") is False


def test_behind_a_turn_that_is_stuck_only_a_few_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "LOOK_SECONDS", 0.01)
    queue, refused = Turns(most_behind_stuck=2), threading.Semaphore(0)

    def wait() -> bool:
        try:
            return hold(queue, "a")
        except Late:
            refused.release()
            raise

    with ThreadPoolExecutor(6) as threads:
        with queue.take("a", Deadline(20), Late()):
            waiting = [threads.submit(wait) for _ in range(6)]
            assert all(refused.acquire(timeout=20) for _ in range(4))
        assert sorted(one.exception(20) is None for one in waiting) == [False] * 4 + [True] * 2
