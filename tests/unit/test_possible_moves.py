"""The list of moves says of each value what the rules say of it."""

import pytest

from app.models.order import OrderState, OrderStatus, PaymentStatus
from app.models.rules import Change, Refusal, decide
from app.operations.possible_moves import COMMAND_MOVES, HTTP_MOVES, Move, command_of, possible_moves
from tests.unit.builders import NOW, an_order

RUNNERS = (None, "mine")
ORDERS = [an_order(status, runner) for status in OrderStatus for runner in RUNNERS]
IDS = [f"{order.order_status}-{order.runner_id}" for order in ORDERS]


def of(order: OrderState, name: str, label: str, *, remembered: bool = False) -> Move:
    """The line of the move that holds for values of this kind."""
    found = [move for move in possible_moves(order, NOW, has_refused_accept=remembered) if move.name == name]
    lines = [move for move in found if move.given is None or label in move.given.partition(": ")[2].split(", ")]
    assert len(lines) == 1, (label, found)
    return lines[0]


def required(order: OrderState, name: str, values: dict[str, str]) -> tuple[str, str | None]:
    model = HTTP_MOVES[name][0] if name in HTTP_MOVES else COMMAND_MOVES[name]
    decision = decide(order, command_of(model, order.order_id, values), NOW)
    if isinstance(decision, Refusal):
        return "NO", decision.code
    return ("GO" if isinstance(decision, Change) else "SAME"), None


@pytest.mark.parametrize("order", ORDERS, ids=IDS)
def test_each_value_has_the_verdict_of_the_rules(order: OrderState) -> None:
    asked: list[tuple[str, str, dict[str, str]]] = [
        *((name, "", {}) for name in ("cancelOrder", "cancelAcceptance", "completeOrder", "cancel_order")),
        *(("updateOrderStatus", status, {"status": status}) for status in OrderStatus.__members__),
        *(("update_order_status", status, {"status": status}) for status in OrderStatus.__members__),
        ("clearRunner", "none", {}),
        ("clearRunner", "another", {"runner_id": "whoever"}),
        ("verifyAndAcceptOrder", "another", {"runner_id": "whoever"}),
    ]
    if order.runner_id is not None:
        own = {"runner_id": order.runner_id}
        asked += [(name, "the one that it has", own) for name in ("clearRunner", "verifyAndAcceptOrder")]
    for name, label, values in asked:
        line = of(order, name, label)
        assert (line.verdict, line.code) == required(order, name, values), (name, values)
    payment = {"status": order.order_status.value, "payment_status": "FAILED"}
    label = f"{order.order_status} with another payment_status"
    assert of(order, "update_order_status", label).verdict == required(order, "update_order_status", payment)[0] == "GO"


def test_a_remembered_refusal_changes_the_bare_clear_alone() -> None:
    order = an_order("ACCEPTED", "mine")
    assert of(order, "clearRunner", "none").verdict == "GO"
    assert of(order, "clearRunner", "none", remembered=True).verdict == "SAME"
    assert of(order, "clearRunner", "the one that it has", remembered=True).verdict == "GO"


def test_a_move_names_what_it_takes() -> None:
    found = possible_moves(an_order(), NOW, has_refused_accept=False)
    takes = {move.name: {it.name: it for it in move.parameters} for move in found}
    assert {name: set(parameters) for name, parameters in takes.items()} == {
        "updateOrderStatus": {"status"},
        "verifyAndAcceptOrder": {"runner_id"},
        "cancelOrder": set(),
        "cancelAcceptance": set(),
        "clearRunner": {"runner_id"},
        "completeOrder": set(),
        "update_order_status": {"status", "payment_status"},
        "cancel_order": {"reason"},
    }
    assert takes["verifyAndAcceptOrder"]["runner_id"].is_required
    assert not takes["clearRunner"]["runner_id"].is_required
    assert list(takes["update_order_status"]["payment_status"].choices) == list(PaymentStatus)


@pytest.mark.parametrize("runner", ["-", "--"])
def test_no_runner_is_taken_for_another(runner: str) -> None:
    assert of(an_order("ACCEPTED", runner), "clearRunner", "another").code == "runner_mismatch"


def test_a_status_that_there_is_not_is_as_the_rules_take_it() -> None:
    unknown = str.__new__(OrderStatus, "LOST")
    unknown._name_ = unknown._value_ = "LOST"
    order = an_order()
    object.__setattr__(order, "order_status", unknown)
    assert of(order, "cancelOrder", "").refusal == "Order cannot be cancelled in status: LOST"
    assert of(order, "update_order_status", "PLACED").verdict == "GO"
