"""The budget of answers: never more than its bytes, in the order of asking, and not for those who only sit on it."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial

import pytest

from app.utils import budget as module
from app.utils.budget import Budget, Share
from app.utils.deadline import Deadline

LATE = TimeoutError("no share")
AT_ONCE = Deadline(0)


def take(budget: Budget, size: int, seconds: float = 5.0) -> Share:
    return budget.take(size, Deadline(seconds), LATE)


def await_claims(budget: Budget, count: int) -> None:
    deadline = time.monotonic() + 5
    while len(budget._claims) < count:
        assert time.monotonic() < deadline, "nobody waits"
        time.sleep(0.001)


def test_shares_are_given_while_there_is_enough_and_refused_in_time_beyond() -> None:
    budget = Budget(100)
    shares = [take(budget, 50), take(budget, 50)]
    with pytest.raises(TimeoutError, match="no share"):
        budget.take(1, AT_ONCE, LATE)
    shares[0].release()
    shares[0].release()
    assert budget.held == 50
    assert take(budget, 50).size == 50


def test_a_share_that_shrinks_lets_others_in() -> None:
    budget = Budget(100)
    share = take(budget, 100)
    with ThreadPoolExecutor(1) as thread:
        other = thread.submit(take, budget, 40)
        await_claims(budget, 1)
        share.resize(60)
        assert other.result(30).size == 40
    assert budget.held == 100


def test_who_asks_for_more_than_there_is_waits_for_all_of_it() -> None:
    budget = Budget(100)
    assert take(budget, 1000).size == 100
    assert budget.held == 100


def test_a_large_share_is_not_passed_by_small_ones_that_come_later() -> None:
    budget = Budget(100)
    first = take(budget, 50)
    order: list[str] = []

    def ask(name: str, size: int) -> None:
        share = take(budget, size)
        order.append(name)
        share.release()

    threads = []
    for place, (name, size) in enumerate({"large": 100, "small": 1}.items(), 1):
        threads.append(threading.Thread(target=ask, args=(name, size)))
        threads[-1].start()
        await_claims(budget, place)
    assert order == []
    first.release()
    for thread in threads:
        thread.join(5)
    assert order == ["large", "small"]
    assert budget.held == 0


def test_a_claim_that_is_late_makes_way_for_the_next() -> None:
    budget = Budget(100)
    take(budget, 50)
    with ThreadPoolExecutor(2) as threads:
        late = threads.submit(take, budget, 60, 0.1)
        await_claims(budget, 1)
        assert threads.submit(take, budget, 50).result(30).size == 50
        assert late.exception(5) is LATE


def test_who_waits_for_a_client_longest_is_let_go_for_somebody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only as many as are needed, and none of those whose clients have not had their time."""
    monkeypatch.setattr(module, "PATIENCE_SECONDS", 0.0)
    budget = Budget(100)
    shares, stopped = [take(budget, 30) for _ in range(3)], []

    def stop(place: int) -> None:
        stopped.append(place)
        shares[place].release()

    with shares[1].waiting(lambda: stop(1)), shares[0].waiting(lambda: stop(0)), shares[2].waiting(lambda: stop(2)):
        assert take(budget, 70).size == 70
        assert stopped == [1, 0]
        monkeypatch.setattr(module, "PATIENCE_SECONDS", 60.0)
        with pytest.raises(TimeoutError):
            take(budget, 70, 0.01)
        assert stopped == [1, 0]
    assert budget.slow == {}


def test_nobody_is_let_go_while_there_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE_SECONDS", 0.0)
    budget = Budget(100)
    with take(budget, 50).waiting(pytest.fail):
        assert take(budget, 50).size == 50
        budget.overdraw(0).release()


def test_an_answer_that_is_made_is_never_refused_but_others_wait_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE_SECONDS", 0.0)
    budget, stopped = Budget(100), []
    making, slow = take(budget, 40), take(budget, 60)
    with slow.waiting(lambda: stopped.append(True)):
        made = budget.overdraw(90)
    assert (budget.held, stopped) == (130, [True])
    making.release()
    with pytest.raises(TimeoutError):
        budget.take(20, AT_ONCE, LATE)
    made.release()
    assert take(budget, 100).size == 100


def test_far_beyond_the_total_nobody_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """However fast answers are made for clients that do not read: each bytes are let go for once."""
    monkeypatch.setattr(module, "PATIENCE_SECONDS", 60.0)
    budget = Budget(100)
    stopped: list[int] = []
    with ExitStack() as clients:
        for number in range(10):
            share = budget.overdraw(30)
            clients.enter_context(share.waiting(partial(stopped.append, number)))
            assert budget.held <= 125
        assert stopped == [0, 1, 2, 3, 4, 5]


def test_threads_that_take_and_give_back_at_once_never_hold_too_much() -> None:
    budget, most = Budget(100), []

    def work(size: int) -> None:
        for _ in range(200):
            share = take(budget, size)
            most.append(budget.held)
            share.release()

    with ThreadPoolExecutor(8) as threads:
        for done in [threads.submit(work, size) for size in (10, 20, 30, 40, 50, 60, 70, 80)]:
            done.result(30)
    assert max(most) <= 100
    assert (budget.held, len(budget._claims)) == (0, 0)
