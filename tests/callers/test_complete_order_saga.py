"""The complete-order saga: COMPLETED after the money went to the runner; a refusal makes it take the money back."""

from tests.callers.http import new_order, order_of, post, update


def delivered(url: str) -> str:
    """Return an order that a runner has delivered."""
    order_id = new_order(url)
    assert post(f"{url}/verifyAndAcceptOrder", {"orderId": order_id, "runner_id": "runner-1"}).status == 200
    assert update(url, order_id, "DELIVERED").status == 200
    return order_id


def test_a_delivered_order_is_completed(url: str) -> None:
    """[H8] [R3]"""
    order_id = delivered(url)
    answer = update(url, order_id, "COMPLETED")
    assert (answer.status, answer.body["message"]) == (200, "Order status updated successfully")
    assert answer.body["order"] == order_of(url, order_id)
    assert answer.body["order"]["orderStatus"] == "COMPLETED"
    assert answer.body["order"]["completedAt"].endswith("+00:00")
    assert answer.body["order"]["runnerId"] == "runner-1"


def test_a_repeated_completion_is_answered_alike_and_changes_nothing(url: str) -> None:
    """[R4] The activity timed out and is done again: no refusal, or the runner's money would be taken back."""
    order_id = delivered(url)
    answers = [update(url, order_id, "COMPLETED") for _ in range(3)]
    assert [(it.status, it.body) for it in answers] == [(200, answers[0].body)] * 3
    assert post(f"{url}/completeOrder", {"orderId": order_id}).body["order"] == answers[0].body["order"]


def test_a_cancelled_order_refuses_to_be_completed_each_time(url: str) -> None:
    """[R2] [H8]"""
    order_id = new_order(url, "CANCELLED")
    before = order_of(url, order_id)
    answers = [update(url, order_id, "COMPLETED") for _ in range(3)]
    assert [(it.status, it.body) for it in answers] == [(400, answers[0].body)] * 3
    assert {"error", "code"} <= answers[0].body.keys()
    assert order_of(url, order_id) == before


def test_a_completed_order_cannot_be_cancelled_behind_the_sagas_back(url: str) -> None:
    """[R2] [H10]"""
    order_id = delivered(url)
    update(url, order_id, "COMPLETED")
    refusals = [update(url, order_id, "CANCELLED"), post(f"{url}/cancelOrder", {"orderId": order_id})]
    assert [it.status for it in refusals] == [400, 400]
    assert order_of(url, order_id)["orderStatus"] == "COMPLETED"
