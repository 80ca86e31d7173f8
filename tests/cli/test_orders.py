"""`list`, `show`, `timeline`: what a person and a program see of orders."""

from collections.abc import Callable

import pytest

from app.models.operator_errors import NotFound
from app.operations import orders
from tests.harness.terminal import Terminal
from tests.harness.world import World, a_cancel, an_update

Make = Callable[[World], Terminal]

AN_ORDER = (
    "INSERT INTO orders (order_id, cust_id, runner_id, order_description, food_fee, delivery_fee, store_location, "
    "delivery_location, order_status, created_at, updated_at) VALUES (%s, %s, %s, '[]', 12.99, 3.99, %s, 'Dorm', %s, "
    "'2026-11-22 10:00' ::timestamp + %s * interval '1 minute', '2026-11-22 10:00')"
)


def an_order(world: World, name: str, minute: int, status: str = "CREATED", **columns: str) -> None:
    values = (name, columns.get("customer", "customer-1"), columns.get("runner"), columns.get("store"), status, minute)
    world.query(AN_ORDER, values)


def test_a_list_is_newest_first_and_ends_at_its_limit(untouched: World, terminal: Make) -> None:
    for minute in range(4):
        an_order(untouched, f"order-{minute}", minute)
    lines = terminal(untouched).prints("list", "--limit", 3).splitlines()
    assert lines[0].split()[:2] == ["order", "status"]
    assert [line.split()[0] for line in lines[2:]] == ["order-3", "order-2", "order-1"]


def test_a_list_is_filtered_by_status_runner_and_customer(untouched: World, terminal: Make) -> None:
    an_order(untouched, "wanted", 1, "PLACED", runner="runner-1", customer="customer-2")
    an_order(untouched, "other-status", 2, "ACCEPTED", runner="runner-1", customer="customer-2")
    an_order(untouched, "other-runner", 3, "PLACED", runner="runner-2", customer="customer-2")
    an_order(untouched, "other-customer", 4, "PLACED", runner="runner-1")
    found = terminal(untouched).json("list", "--status", "placed", "--runner", "runner-1", "--customer", "customer-2")
    assert [order["orderId"] for order in found["orders"]] == ["wanted"]


def test_a_program_gets_the_orders_as_http_shows_them(untouched: World, terminal: Make) -> None:
    an_order(untouched, "order-1", 0)
    (order,) = terminal(untouched).json("list")["orders"]
    assert (order["foodFee"], order["createdAt"]) == (12.99, "2026-11-22T10:00:00+00:00")
    assert terminal(untouched).json("show", "order-1") == order


def test_nothing_to_list_is_said(untouched: World, terminal: Make) -> None:
    assert terminal(untouched).prints("list") == "Nothing.\n"


def test_an_unknown_order_is_one_sentence(untouched: World, terminal: Make) -> None:
    for command in ("show", "timeline"):
        assert terminal(untouched).refusal(command, "order-1") == "There is no order 'order-1'."


def test_an_id_that_is_no_text_is_refused_before_the_database_sees_it(untouched: World, terminal: Make) -> None:
    result = terminal(untouched).run("show", "\udcff")
    assert result.exit_code == 2
    assert "must be text" in result.stderr


@pytest.mark.parametrize("text", ["\0", "\ud800", ""], ids=["nul", "surrogate", "empty"])
def test_what_can_be_no_id_is_unknown(untouched: World, text: str) -> None:
    with pytest.raises(NotFound, match="There is no order"):
        orders.show(untouched.settings(), text)


def test_what_others_wrote_cannot_command_the_terminal(untouched: World, terminal: Make) -> None:
    an_order(untouched, "order-1", 0, store="\x1b[2J\nKitchen")
    shown = terminal(untouched).prints("show", "order-1")
    assert r"\x1b[2J\nKitchen" in shown


def test_a_timeline_tells_every_change_and_where_it_came_from(running: World, terminal: Make) -> None:
    order_id = running.create(saga_id="saga-1")
    running.ask(an_update(order_id, "CREATED", payment_status="AUTHORIZED") | {"correlation_id": "saga-2"})
    running.ask(a_cancel(order_id) | {"correlation_id": "saga-3"})
    shown = terminal(running).prints("timeline", order_id)
    places = [shown.index(move) for move in ("· → PENDING", "PENDING → CREATED", "CREATED → CANCELLED")]
    assert places == sorted(places)
    changes = terminal(running).json("timeline", order_id)["changes"]
    assert [
        (change["version"], change["correlation_id"], change["door"], change["payment_status"]) for change in changes
    ] == [
        (1, "saga-1", "kafka", "PENDING"),
        (2, "saga-2", "kafka", "AUTHORIZED"),
        (3, "saga-3", "kafka", "AUTHORIZED"),
    ]
    assert all(change["topic"] == running.commands and change["offset"] >= 0 for change in changes)
