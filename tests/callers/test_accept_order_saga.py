"""The accept-order saga: activities that are repeated, runners that race, and a bare compensation after any failure."""

import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.callers.http import GIVES_UP_SECONDS, Answer, new_order, order_of, post, update
from tests.callers.saga import Orchestrator
from tests.harness.found import row_locked
from tests.harness.stack import Stack

RUNNERS = 8


def accept(url: str, order_id: str, runner_id: str) -> Answer:
    """The saga's first activity."""
    return post(f"{url}/verifyAndAcceptOrder", {"orderId": order_id, "runner_id": runner_id})


def compensate(url: str, order_id: str) -> Answer:
    """What the saga does after any failure: it names no runner."""
    return post(f"{url}/clearRunner", {"orderId": order_id})


def run_saga(url: str, order_id: str, runner_id: str, attempts: int = 1) -> bool:
    """Accept, again where the activity is said to have timed out; compensate a refusal. Return who has won."""
    answers = [accept(url, order_id, runner_id) for _ in range(attempts)]
    if answers[-1].status != 200:
        assert answers[-1].body["success"] is False
        assert compensate(url, order_id).status == 200
    return answers[-1].status == 200


def test_a_repeated_accept_is_answered_alike_and_announced_once(url: str, orchestrator: Orchestrator) -> None:
    """[R4] [H9] [K3]"""
    order_id = new_order(url)
    answers = [accept(url, order_id, "runner-1") for _ in range(3)]
    assert [(it.status, it.body) for it in answers] == [(200, answers[0].body)] * 3
    assert answers[0].body == {"success": True, "message": "Order accepted successfully", "order_id": order_id}
    assert update(url, order_id, "PLACED").body["order"]["version"] == 4

    def announced() -> list[str]:
        records = orchestrator.client.records(orchestrator.stack.events_topic)
        types = [it["value"]["type"] for it in records if it["value"]["payload"].get("orderId") == order_id]
        return types if len(types) >= 4 else []

    types = orchestrator.client.until(announced, "four events")
    assert types == ["ORDER_CREATED", "ORDER_UPDATED", "ORDER_ACCEPTED", "ORDER_UPDATED"]


@pytest.mark.parametrize("attempts", [1, 3])
def test_of_racing_runners_one_wins_and_keeps_the_order_when_the_others_compensate(
    service: Stack, attempts: int
) -> None:
    """[R5] [R8]"""
    urls = [instance.url for instance in service.instances]
    orders = [new_order(urls[0]) for _ in range(5)]
    sagas = [(order_id, f"runner-{n}", urls[n % 2]) for order_id in orders for n in range(RUNNERS)]
    with ThreadPoolExecutor(2 * RUNNERS) as threads:
        won = list(threads.map(lambda saga: run_saga(saga[2], saga[0], saga[1], attempts), sagas))
    winners = [(order_id, runner) for (order_id, runner, _), has in zip(sagas, won, strict=True) if has]
    assert Counter(order_id for order_id, _ in winners) == dict.fromkeys(orders, 1)
    for order_id, runner_id in winners:
        order = order_of(urls[1], order_id)
        assert (order["runnerId"], order["orderStatus"], order["version"]) == (runner_id, "ACCEPTED", 3)


def test_the_compensation_of_a_refused_runner_says_that_nothing_changed(url: str) -> None:
    """[R8]"""
    order_id = new_order(url)
    accept(url, order_id, "winner")
    assert accept(url, order_id, "late").body["error"] == "Order cannot be accepted in status: ACCEPTED"
    update(url, order_id, "DELIVERED")
    answer = compensate(url, order_id)
    assert (answer.status, answer.body["changed"]) == (200, False)
    assert (answer.body["order"]["runnerId"], answer.body["order"]["orderStatus"]) == ("winner", "DELIVERED")


def test_the_winners_own_compensation_frees_the_order_for_the_next_runner(url: str) -> None:
    """[R8] [H12] The hold on the winner's account failed after the accept."""
    order_id = new_order(url)
    accept(url, order_id, "winner")
    assert not run_saga(url, order_id, "late")
    answer = compensate(url, order_id)
    assert (answer.status, answer.body["order"]["runnerId"], answer.body["order"]["acceptedAt"]) == (200, None, None)
    assert run_saga(url, order_id, "late")


@pytest.mark.parametrize("status", ["PENDING", "PLACED", "COMPLETED", "CANCELLED"])
def test_the_compensation_after_a_refusal_by_status_changes_nothing(url: str, status: str) -> None:
    """[R5] [H12]"""
    order_id = new_order(url, status)
    before = order_of(url, order_id)
    assert accept(url, order_id, "runner-1").status == 400
    compensate(url, order_id)
    assert order_of(url, order_id) == before


def test_the_compensation_for_an_order_that_does_not_exist_comes_to_an_end(url: str) -> None:
    """[H1] [H14]"""
    answers = [accept(url, "no-such-order", "runner-1"), compensate(url, "no-such-order")]
    assert [(it.status, it.body["error"]) for it in answers] == [(404, "Order not found")] * 2


def test_an_accept_that_cannot_be_done_in_time_is_answered_in_time_and_may_be_repeated(
    url: str, service: Stack
) -> None:
    """[H1]"""
    order_id = new_order(url)
    with row_locked(service.database_url, order_id):
        started = time.monotonic()
        late = accept(url, order_id, "runner-1")
        assert time.monotonic() - started < GIVES_UP_SECONDS
    assert (late.status, late.body["success"]) == (503, False)
    assert int(late.headers["Retry-After"]) >= 1
    assert accept(url, order_id, "runner-1").status == 200
    assert order_of(url, order_id)["runnerId"] == "runner-1"
