"""The page of an order: what happened is all there, and a move is done as it was shown, or not at all."""

from collections.abc import Callable

from tests.browser.desk import Desk
from tests.browser.scene import Scene


def test_the_time_line_tells_what_came_what_the_order_became_and_what_went(desk: Desk, scene: Scene) -> None:
    page = desk.go(f"/console/orders/{scene.told}?log=1")
    rows = page.locator("table.line tbody tr")
    lines = [row.inner_text() for row in rows.all()]
    assert [line for line in lines if "version" in line] == [line for line in lines if "acknowledged" in line][:5]
    assert "create_order" in lines[0]
    assert "order.created" in lines[0]
    assert scene.stack.events_topic in lines[0]
    assert any("the same again" in line for line in lines)
    assert any("changed nothing" in line for line in lines)


def test_the_log_is_asked_after_the_page_is_there(desk: Desk, scene: Scene) -> None:
    page = desk.go(f"/console/orders/{scene.told}")
    page.locator("table.line", has_text=scene.stack.events_topic).wait_for()


def test_persons_are_masked_until_somebody_asks(either_desk: Desk, scene: Scene) -> None:
    order_id = scene.order("CREATED", customer="customer-in-the-open")
    page = either_desk.go(f"/console/orders/{order_id}")
    assert "customer-in-the-open" not in page.content()
    page.get_by_text("Persons and addresses are masked").click()
    page.get_by_label("Why you need to see them").fill("a customer calls")
    page.get_by_role("button", name="Show them for 5 minutes").click()
    page.get_by_text("customer-in-the-open").wait_for()
    asked = "SELECT who, detail FROM operator_actions WHERE action = 'show-persons' AND subject LIKE %s"
    assert scene.query(asked, [f"%{order_id}%"]) == [("alice", "a customer calls")]


def test_a_move_is_shown_and_then_done_with_its_reason(either_desk: Desk, scene: Scene) -> None:
    order_id = scene.order("CREATED")
    page = either_desk.go(f"/console/orders/{order_id}")
    page.get_by_role("link", name="Simulate verifyAndAcceptOrder").click()
    page.get_by_label("runner_id").fill("runner-12")
    page.get_by_role("button", name="Show what it would do").click()
    assert "ORDER_ACCEPTED" in either_desk.text()
    assert "runner-12" not in page.locator(".record").first.inner_text()
    assert scene.state(order_id) == ("CREATED", 2)
    page.get_by_label("Reason").fill("the app of the runner is down")
    page.get_by_role("button", name="Do it").click()
    page.get_by_text("Done: the order has version 3, by alice").wait_for()
    assert scene.state(order_id) == ("ACCEPTED", 3)
    kept = "SELECT who, action, detail FROM operator_actions WHERE subject = %s"
    ((who, action, detail),) = scene.query(kept, [f"order {order_id}"])
    assert (who, action) == ("alice", "do")
    assert detail.endswith("the app of the runner is down")


def test_an_order_that_has_moved_on_is_not_changed(open_desk: Callable[..., Desk], scene: Scene) -> None:
    order_id = scene.order("CREATED")
    desk = open_desk()
    desk.expect(409)
    page = desk.go(f"/console/simulate/{order_id}?move=cancelOrder")
    scene.move(order_id, "PLACED")
    page.get_by_label("Reason").fill("the shop burnt down")
    page.get_by_role("button", name="Do it").click()
    page.get_by_text("has moved on").wait_for()
    page.get_by_text("It would be refused").wait_for()
    assert scene.state(order_id) == ("PLACED", 3)


def test_an_order_that_waits_for_its_caller_says_so(either_desk: Desk, scene: Scene) -> None:
    page = either_desk.go(f"/console/orders/{scene.told}")
    page.get_by_role("link", name="Why it waits").click()
    page.get_by_role("list", name="The checks").wait_for()
    assert "broker" in either_desk.text().lower()
