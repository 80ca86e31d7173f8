"""What each POST does to an order in each status, and what it says when it may not."""

from typing import Any

import pytest

from tests.contract.conftest import Tables
from tests.harness.builders import HELD, STATUSES, Caller, unique

FINAL = ("COMPLETED", "CANCELLED")
TIME_OF = {
    "ACCEPTED": "acceptedAt", "PLACED": "placedAt", "ON_THE_WAY": "pickedUpAt", "DELIVERED": "deliveredAt",
    "COMPLETED": "completedAt", "CANCELLED": "cancelledAt",
}  # fmt: skip
UPDATED = "Order status updated successfully"
CANCELLED = "Order cancelled successfully"
GIVEN_BACK = "Order acceptance cancelled successfully"
CLEARED = "Runner cleared successfully"
COMPLETED = "Order completed successfully"


def done(answer: Any, message: str) -> dict[str, Any]:
    """Return the order of a success that has exactly the promised members."""
    assert answer.status_code == 200, answer.text
    assert set(answer.json) == {"message", "order"}
    assert answer.json["message"] == message
    return dict(answer.json["order"])


def refused(answer: Any, sentence: str, code: str = "status_not_allowed", **more: Any) -> None:
    assert (answer.status_code, answer.json) == (400, {"error": sentence, "code": code, **more})


@pytest.mark.parametrize("target", STATUSES)
@pytest.mark.parametrize("status", [status for status in STATUSES if status not in FINAL])
def test_an_update_goes_from_any_status_to_any_status(api: Caller, status: str, target: str) -> None:
    """[H8] [R3]"""
    order_id = api.new(status)
    before = api.order(order_id)
    after = done(api.update(order_id, target), UPDATED)
    assert after == api.order(order_id)
    assert (after["orderStatus"], after["createdAt"]) == (target, before["createdAt"])
    assert after["version"] == before["version"] + (status != target)


@pytest.mark.parametrize("target", STATUSES)
@pytest.mark.parametrize("status", FINAL)
def test_nothing_leaves_a_final_status(api: Caller, status: str, target: str) -> None:
    """[R2] [R4] [H8]: asking for the one that it has is a success."""
    order_id = api.new(status)
    before = api.order(order_id)
    answer = api.update(order_id, target)
    if status == target:
        assert done(answer, UPDATED) == before
    else:
        refused(answer, f"Order cannot be updated in status: {status}")
    assert api.order(order_id) == before


@pytest.mark.parametrize("target", TIME_OF)
def test_entering_a_status_sets_its_time_and_no_other(api: Caller, target: str) -> None:
    """[R3] [O3]"""
    order_id = api.new("CREATED")
    after = done(api.update(order_id, target), UPDATED)
    assert [name for name in TIME_OF.values() if after[name] is not None] == [TIME_OF[target]]
    assert after[TIME_OF[target]] == after["updatedAt"]


def test_entering_a_status_again_sets_its_time_again(api: Caller) -> None:
    """[R3]"""
    order_id = api.new("PLACED")
    first = api.order(order_id)["placedAt"]
    api.update(order_id, "DELIVERED")
    assert done(api.update(order_id, "PLACED"), UPDATED)["placedAt"] > first


@pytest.mark.parametrize("target", ["PENDING", "CREATED"])
def test_going_back_takes_the_runner_and_its_time_and_leaves_the_other_times(api: Caller, target: str) -> None:
    """[R3]"""
    order_id = api.new("DELIVERED")
    before = api.order(order_id)
    after = done(api.update(order_id, target), UPDATED)
    assert (after["runnerId"], after["acceptedAt"]) == (None, None)
    assert after["deliveredAt"] == before["deliveredAt"]


def test_times_are_utc_with_an_explicit_offset(api: Caller) -> None:
    """[O3]"""
    order = api.order(api.new("ACCEPTED"))
    assert all(order[name].endswith("+00:00") for name in ("createdAt", "updatedAt", "acceptedAt"))


@pytest.mark.parametrize("status", ["placed", "UNKNOWN", "", " PLACED", 5, ["PLACED"], {"a": 1}, True])
def test_an_unknown_status_is_named_in_the_refusal_before_the_order_is_looked_for(api: Caller, status: Any) -> None:
    """[H14] [R6]"""
    answer = api.post("/updateOrderStatus", {"orderId": unique(), "status": status})
    assert answer.status_code == 400
    expected = "Invalid status: " if status != "" else "Missing required fields: status"
    assert answer.json["error"].startswith(expected)


@pytest.mark.parametrize("status", STATUSES)
def test_only_an_order_in_created_can_be_accepted(api: Caller, status: str) -> None:
    """[R5] [H9] [H14]"""
    order_id = api.new(status, "holder")
    answer = api.accept(order_id, "newcomer")
    if status == "CREATED":
        message = {"success": True, "message": "Order accepted successfully", "order_id": order_id}
        assert (answer.status_code, answer.json) == (200, message)
        return
    code = "order_taken" if status in HELD else "status_not_allowed"
    refused(answer, f"Order cannot be accepted in status: {status}", code, success=False)


def test_an_accepted_order_has_its_runner_and_its_time(api: Caller) -> None:
    """[H9] [R3]"""
    order = api.order(api.new("ACCEPTED", "runner-9"))
    assert (order["runnerId"], order["orderStatus"]) == ("runner-9", "ACCEPTED")
    assert order["acceptedAt"] == order["updatedAt"]


@pytest.mark.parametrize("status", HELD)
def test_the_runner_that_holds_the_order_may_accept_it_again(api: Caller, status: str) -> None:
    """[R4]: success, and the order stays as it is."""
    order_id = api.new(status, "holder")
    before = api.order(order_id)
    assert api.accept(order_id, "holder").status_code == 200
    assert api.order(order_id) == before


@pytest.mark.parametrize("status", STATUSES)
def test_the_customer_cancels_only_from_created(api: Caller, status: str) -> None:
    """[H10] [R4] [H14]"""
    order_id = api.new(status)
    before = api.order(order_id)
    answer = api.post("/cancelOrder", {"orderId": order_id})
    if status == "CREATED":
        after = done(answer, CANCELLED)
        assert (after["orderStatus"], after["version"]) == ("CANCELLED", before["version"] + 1)
    elif status == "CANCELLED":
        assert done(answer, CANCELLED) == before
    else:
        refused(answer, f"Order cannot be cancelled in status: {status}")


@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize(
    ("path", "message", "sentence"),
    [
        ("/cancelAcceptance", GIVEN_BACK, "Order acceptance cannot be cancelled in status: "),
        ("/clearRunner", CLEARED, "Runner cannot be cleared in status: "),
    ],
)
def test_an_acceptance_is_undone_only_from_accepted(
    api: Caller, path: str, message: str, sentence: str, status: str
) -> None:
    """[H11] [H12] [R4]"""
    order_id = api.new(status)
    before = api.order(order_id)
    answer = api.post(path, {"orderId": order_id})
    if status == "ACCEPTED":
        after = done(answer, message)
        assert (after["orderStatus"], after["runnerId"], after["acceptedAt"]) == ("CREATED", None, None)
        assert after["version"] == before["version"] + 1
    elif status == "CREATED":
        assert done(answer, message) == before
    else:
        refused(answer, sentence + status)


def test_a_named_clear_is_refused_unless_that_runner_holds_the_order(api: Caller) -> None:
    """[H12]"""
    order_id = api.new("ACCEPTED", "holder")
    answer = api.clear(order_id, runner_id="other")
    assert (answer.status_code, answer.json["code"]) == (400, "runner_mismatch")
    assert done(api.clear(order_id, runner_id="holder"), CLEARED)["runnerId"] is None


def test_a_cleared_order_is_clear_already_whatever_runner_is_named(api: Caller) -> None:
    """[R4]"""
    order_id = api.new("CREATED")
    assert done(api.clear(order_id, runner_id="anybody"), CLEARED) == api.order(order_id)


def test_an_accepted_order_without_a_runner_can_be_cleared_by_a_bare_call(api: Caller) -> None:
    """[R8]"""
    order_id = api.new("CREATED")
    api.update(order_id, "ACCEPTED")
    assert done(api.clear(order_id), CLEARED)["orderStatus"] == "CREATED"


@pytest.mark.parametrize("status", STATUSES)
def test_an_order_is_completed_from_every_status_but_cancelled(api: Caller, status: str) -> None:
    """[H13] [R4]"""
    order_id = api.new(status)
    before = api.order(order_id)
    answer = api.post("/completeOrder", {"orderId": order_id})
    if status == "CANCELLED":
        refused(answer, "Order cannot be completed in status: CANCELLED")
        return
    after = done(answer, COMPLETED)
    assert (after["orderStatus"], after["version"]) == ("COMPLETED", before["version"] + (status != "COMPLETED"))


def test_already_means_now_and_not_once(api: Caller) -> None:
    """[R4]: a runner that lost the order in between accepts it anew."""
    order_id = api.new("ACCEPTED", "holder")
    api.clear(order_id, runner_id="holder")
    version = api.order(order_id)["version"]
    assert api.accept(order_id, "holder").status_code == 200
    assert api.order(order_id)["version"] == version + 1


def test_a_success_without_a_change_writes_nothing(api: Caller, tables: Tables) -> None:
    """[R4]: no event, no line of history, no new version."""
    order_id = api.new("CANCELLED")
    before = (tables.events(order_id), tables.changes(order_id))
    api.update(order_id, "CANCELLED")
    api.post("/cancelOrder", {"orderId": order_id})
    assert (tables.events(order_id), tables.changes(order_id)) == before


def test_a_refusal_writes_nothing(api: Caller, tables: Tables) -> None:
    """[K3]"""
    order_id = api.new("COMPLETED")
    before = (tables.events(order_id), tables.changes(order_id))
    api.update(order_id, "PLACED")
    api.accept(order_id, "late")
    assert (tables.events(order_id), tables.changes(order_id)) == before
