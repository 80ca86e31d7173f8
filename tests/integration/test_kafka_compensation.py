"""`cancel_order` is a compensation: it comes to an end from every status [K9]."""

import pytest

from tests.harness.world import World, a_cancel, an_update, by_correlation


@pytest.mark.parametrize("status", ["PENDING", "CREATED", "ACCEPTED", "PLACED", "ON_THE_WAY"])
def test_a_saga_cancels_from_every_status_that_is_not_final(running: World, status: str) -> None:
    """[K9]"""
    order_id = running.create_in(status)
    (row,) = running.ask(a_cancel(order_id, reason="no funds"))
    assert (row["body"]["type"], row["payload"]["reason"]) == ("order.cancelled", "no funds")
    version = 2 if status == "PENDING" else 3
    assert row["payload"]["version"] == version
    assert running.order(order_id) == ("CANCELLED", "PENDING", "no funds", version)


@pytest.mark.parametrize("status", ["DELIVERED", "COMPLETED"])
def test_a_finished_order_stays_and_the_reply_tells_its_real_status(running: World, status: str) -> None:
    """[K9]"""
    order_id = running.create_in(status)
    (row,) = running.ask(a_cancel(order_id, reason="too late"))
    payload = row["payload"]
    assert row["body"]["type"] == "order.cancelled"
    assert (payload["reason"], payload["status"]) == (f"Already in final state: {status}", status)
    assert "version" not in payload
    assert running.order(order_id) == (status, "PENDING", None, 2)


def test_a_cancelled_order_is_answered_with_its_first_reason(running: World) -> None:
    """[K9] [K8]"""
    order_id = running.create()
    running.ask(a_cancel(order_id, reason="first"))
    (row,) = running.ask(a_cancel(order_id, reason="second"))
    assert (row["body"]["type"], row["payload"]["reason"]) == ("order.cancelled", "first")
    assert "version" not in row["payload"]
    assert running.order(order_id) == ("CANCELLED", "PENDING", "first", 2)


def test_an_order_cancelled_without_a_reason_is_answered_with_this_commands(running: World) -> None:
    """[K8]"""
    order_id = running.create_in("CANCELLED")
    (row,) = running.ask(a_cancel(order_id, reason="mine"))
    assert row["payload"]["reason"] == "mine"
    assert running.order(order_id) == ("CANCELLED", "PENDING", None, 2)


def test_two_sagas_that_cancel_at_once_get_the_same_reason(running: World) -> None:
    """[K9] [K8]"""
    order_id = running.create_in("ACCEPTED")
    rows = by_correlation(running.ask(a_cancel(order_id, reason="one"), a_cancel(order_id, reason="two"), partition=0))
    assert {row["payload"]["reason"] for row in rows.values()} == {"one"}
    assert sum("version" in row["payload"] for row in rows.values()) == 1


def test_after_the_cancel_the_money_may_still_be_refunded(running: World) -> None:
    """[R2] [K7]"""
    order_id = running.create()
    running.ask(a_cancel(order_id, reason="no courier"))
    running.ask(an_update(order_id, "CANCELLED", payment_status="REFUNDED"))
    assert running.order(order_id) == ("CANCELLED", "REFUNDED", "no courier", 3)
