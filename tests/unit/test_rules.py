"""The from x to table of the contract as data, spelled out here once more, independently of rules.TABLE."""

from dataclasses import FrozenInstanceError, replace
from decimal import Decimal
from typing import Any

import pytest

from app.models.commands import (
    AcceptOrder,
    CancelAcceptance,
    CancelOrder,
    ClearRunner,
    CompensateOrder,
    CompleteOrder,
    OrderCommand,
    UpdateStatus,
)
from app.models.order import OrderState, OrderStatus, PaymentStatus
from app.models.rules import NOT_FOUND, TABLE, Change, ChangeKind, Refusal, Unchanged, clear_runner, create, decide
from tests.unit.builders import EARLIER, MADE, NOW, a_create, an_order

STATUSES = ("PENDING", "CREATED", "ACCEPTED", "PLACED", "ON_THE_WAY", "DELIVERED", "COMPLETED", "CANCELLED")
FREE = {"runner_id": None, "accepted_at": None}
ENTERING: dict[str, dict[str, Any]] = {  # what entering a status sets [R3]
    "PENDING": FREE,
    "CREATED": FREE,
    "ACCEPTED": {"accepted_at": NOW},
    "PLACED": {"placed_at": NOW},
    "ON_THE_WAY": {"picked_up_at": NOW},
    "DELIVERED": {"delivered_at": NOW},
    "COMPLETED": {"completed_at": NOW},
    "CANCELLED": {"cancelled_at": NOW},
}
HOLDERS = {"nobody": None, "mine": "me", "theirs": "them"}
COMMANDS: dict[str, OrderCommand] = {
    "accept": AcceptOrder(order_id="order-1", runner_id="me"),
    "cancel": CancelOrder(order_id="order-1"),
    "compensate": CompensateOrder(order_id="order-1", reason="no money"),
    "cancel acceptance": CancelAcceptance(order_id="order-1"),
    "clear": ClearRunner(order_id="order-1"),
    "clear me": ClearRunner(order_id="order-1", runner_id="me"),
    "complete": CompleteOrder(order_id="order-1"),
}
COMMANDS |= {f"to {name}": UpdateStatus(order_id="order-1", status=OrderStatus(name)) for name in STATUSES}

# G: the order moves, S: it is so already [R4], N: not in this status, T: taken, M: another runner's.
#                                PEND CREA ACCE PLAC ONTH DELI COMP CANC
ANYBODY = {
    "cancel": "                     N    G    N    N    N    N    N    S",  # [H10]
    "compensate": "                 G    G    G    G    G    S    S    S",  # [K9]
    "complete": "                   G    G    G    G    G    G    S    N",  # [H13]
    "to PENDING": "                 S    G    G    G    G    G    N    N",  # [R2] [R3] [R4] [H8]
    "to CREATED": "                 G    S    G    G    G    G    N    N",
    "to ACCEPTED": "                G    G    S    G    G    G    N    N",
    "to PLACED": "                  G    G    G    S    G    G    N    N",
    "to ON_THE_WAY": "              G    G    G    G    S    G    N    N",
    "to DELIVERED": "               G    G    G    G    G    S    N    N",
    "to COMPLETED": "               G    G    G    G    G    G    S    N",
    "to CANCELLED": "               G    G    G    G    G    G    N    S",
}
BY_HOLDER = {
    ("accept", "nobody"): "         N    G    N    N    N    N    N    N",  # [R5] [H9]
    ("accept", "mine"): "           N    G    S    S    S    S    S    N",  # [R4]
    ("accept", "theirs"): "         N    G    T    T    T    T    T    N",
    ("cancel acceptance", "nobody"): "N  S    G    N    N    N    N    N",  # [H11]
    ("cancel acceptance", "mine"): "N    N    G    N    N    N    N    N",
    ("cancel acceptance", "theirs"): "N  N    G    N    N    N    N    N",
    ("clear", "nobody"): "          N    S    G    N    N    N    N    N",  # [H12]
    ("clear", "mine"): "            N    N    G    N    N    N    N    N",
    ("clear", "theirs"): "          N    N    G    N    N    N    N    N",
    ("clear me", "nobody"): "       N    S    M    N    N    N    N    N",
    ("clear me", "mine"): "         N    N    G    N    N    N    N    N",
    ("clear me", "theirs"): "       N    N    M    N    N    N    N    N",
}
ROWS = {(name, holder): row for name, row in ANYBODY.items() for holder in HOLDERS} | BY_HOLDER
CELLS = [
    pytest.param(name, status, holder, mark, id=f"{name}-{status}-{holder}-{mark}")
    for (name, holder), row in ROWS.items()
    for status, mark in zip(STATUSES, row.split(), strict=True)
]

KINDS = {
    "accept": ChangeKind.ACCEPTED,
    "cancel": ChangeKind.CANCELLED,
    "compensate": ChangeKind.CANCELLED,
    "cancel acceptance": ChangeKind.ACCEPTANCE_CANCELLED,
    "clear": ChangeKind.RUNNER_CLEARED,
    "clear me": ChangeKind.RUNNER_CLEARED,
    "complete": ChangeKind.COMPLETED,
}
AFTER: dict[str, tuple[str, dict[str, Any]]] = {  # the status entered, and what goes with it
    "accept": ("ACCEPTED", {"runner_id": "me"}),
    "cancel": ("CANCELLED", {}),
    "compensate": ("CANCELLED", {"cancel_reason": "no money"}),
    "cancel acceptance": ("CREATED", {}),
    "clear": ("CREATED", {}),
    "clear me": ("CREATED", {}),
    "complete": ("COMPLETED", {}),
} | {f"to {name}": (name, {}) for name in STATUSES}
SENTENCES = {  # [H14]
    "accept": "Order cannot be accepted in status: ",
    "cancel": "Order cannot be cancelled in status: ",
    "cancel acceptance": "Order acceptance cannot be cancelled in status: ",
    "clear": "Runner cannot be cleared in status: ",
    "clear me": "Runner cannot be cleared in status: ",
    "complete": "Order cannot be completed in status: ",
} | {f"to {name}": "Order cannot be updated in status: " for name in STATUSES}


def expected(name: str, mark: str, order: OrderState) -> Change | Unchanged | Refusal:
    if mark == "S":
        return Unchanged(order, answers_refused_accept=False)
    if mark == "M":
        return Refusal("runner_mismatch", "Order is not held by this runner")
    if mark in "NT":
        code = "order_taken" if mark == "T" else "status_not_allowed"
        return Refusal(code, SENTENCES[name] + order.order_status.value)
    status, also = AFTER[name]
    entered = {"order_status": OrderStatus(status), **ENTERING[status], **also}
    after = replace(order, version=order.version + 1, updated_at=NOW, **entered)
    concerned = order.runner_id if name in ("clear", "clear me", "cancel acceptance") else after.runner_id
    return Change(KINDS.get(name, ChangeKind.UPDATED), order, after, concerned, announce=True)


def update(status: str, payment: str | None = None) -> UpdateStatus:
    payment_status = PaymentStatus(payment) if payment else None
    return UpdateStatus(order_id="order-1", status=OrderStatus(status), payment_status=payment_status)


@pytest.mark.parametrize(("name", "status", "holder", "mark"), CELLS)
def test_every_operation_does_in_every_status_what_the_contract_says(
    name: str, status: str, holder: str, mark: str
) -> None:
    """[R2] [R3] [R4] [R5] [H8] [H9] [H10] [H11] [H12] [H13] [K9] The whole order is compared: nothing else changes."""
    order = an_order(status, HOLDERS[holder], cancel_reason=None)
    assert decide(order, COMMANDS[name], NOW) == expected(name, mark, order)


@pytest.mark.parametrize(
    ("name", "holder"),
    [
        *(("accept", "mine"), ("cancel", "nobody"), ("compensate", "nobody")),
        *(("cancel acceptance", "nobody"), ("clear", "nobody"), ("complete", "nobody")),
    ],
)
def test_the_table_of_the_rules_says_the_same(name: str, holder: str) -> None:
    """[R4] [R5] People read it, so also the cells that its functions do not tell apart."""
    verdicts = [verdict.name[0] for verdict in TABLE[type(COMMANDS[name])].values()]
    assert verdicts == ROWS[name, holder].split()


def test_the_table_of_the_rules_lets_every_status_go_but_the_final_ones() -> None:
    """[R2] [R3]"""
    assert [verdict.name for verdict in TABLE[UpdateStatus].values()] == ["GO"] * 6 + ["NO"] * 2


def test_the_cells_are_the_whole_table() -> None:
    assert {type(command) for command in COMMANDS.values()} == TABLE.keys()
    assert len(CELLS) == len(COMMANDS) * len(HOLDERS) * len(STATUSES)
    assert [status.value for status in OrderStatus] == list(STATUSES)


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("has_refused_accept", [True, False])
def test_an_order_that_is_not_there_is_not_found_by_any_operation(name: str, has_refused_accept: bool) -> None:
    """[H14]"""
    assert decide(None, COMMANDS[name], NOW, has_refused_accept=has_refused_accept) is NOT_FOUND
    assert Refusal("order_not_found", "Order not found") == NOT_FOUND


def test_a_new_order_is_pending_with_what_was_asked_for() -> None:
    """[R1]"""
    change = create(a_create(), "order-9", NOW)
    assert change == Change(ChangeKind.CREATED, None, change.order, None, announce=True)
    assert change.order == OrderState(
        order_id="order-9",
        cust_id="customer-1",
        runner_id=None,
        order_description="[1]",
        food_fee=Decimal("12.99"),
        delivery_fee=Decimal("3.99"),
        store_location="Store",
        delivery_location="Dorm 5",
        order_status=OrderStatus.PENDING,
        payment_status=PaymentStatus.PENDING,
        cancel_reason=None,
        saga_id="saga-1",
        version=1,
        created_at=NOW,
        updated_at=NOW,
    )


def test_a_new_order_has_no_times_yet() -> None:
    """[O3]"""
    order = create(a_create(), "order-9", NOW).order
    assert {getattr(order, entered) for time in ENTERING.values() for entered in time} == {None}


def test_a_create_that_is_not_announced_says_so() -> None:
    """[H7]"""
    assert create(a_create(announce=False), "order-9", NOW).announce is False


@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize("payment", ["AUTHORIZED", "CAPTURED", "REFUNDED", "FAILED"])
def test_another_payment_status_beside_the_same_status_is_a_change_without_a_time(status: str, payment: str) -> None:
    """[R2] [R4] [K7] Also in a final status: CANCELLED, and then REFUNDED."""
    order = an_order(status, "me")
    paid = replace(order, payment_status=PaymentStatus(payment), version=8, updated_at=NOW)
    assert decide(order, update(status, payment), NOW) == Change(ChangeKind.UPDATED, order, paid, "me")


@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize("payment", [None, "CAPTURED"])
def test_the_payment_status_that_the_order_has_is_no_change(status: str, payment: str | None) -> None:
    """[R4]"""
    order = an_order(status, payment_status=PaymentStatus.CAPTURED)
    assert decide(order, update(status, payment), NOW) == Unchanged(order)


def test_status_and_payment_status_move_together_in_one_version() -> None:
    """[K5]"""
    order = an_order("ACCEPTED", "me")
    decision = decide(order, update("PLACED", "CAPTURED"), NOW)
    assert isinstance(decision, Change)
    assert (decision.order.order_status, decision.order.payment_status) == ("PLACED", "CAPTURED")
    assert (decision.order.version, decision.order.placed_at) == (8, NOW)


def test_an_update_without_payment_status_keeps_the_payment_status() -> None:
    order = an_order("ACCEPTED", payment_status=PaymentStatus.CAPTURED)
    decision = decide(order, update("PLACED"), NOW)
    assert isinstance(decision, Change)
    assert decision.order.payment_status is PaymentStatus.CAPTURED


@pytest.mark.parametrize(("final", "wanted"), [("COMPLETED", "CANCELLED"), ("CANCELLED", "PLACED")])
def test_a_payment_status_beside_a_refused_status_is_refused_too(final: str, wanted: str) -> None:
    """[K7]"""
    order = an_order(final)
    refused = Refusal("status_not_allowed", f"Order cannot be updated in status: {final}")
    assert decide(order, update(wanted, "REFUNDED"), NOW) == refused


@pytest.mark.parametrize("reason", ["too late", ""])
def test_the_first_reason_of_a_cancelled_order_stays(reason: str) -> None:
    """[K8] [K9]"""
    order = an_order("CANCELLED", cancel_reason=reason)
    assert decide(order, COMMANDS["compensate"], NOW) == Unchanged(order)


@pytest.mark.parametrize("status", [name for name in STATUSES if name != "CREATED"])
@pytest.mark.parametrize("holder", HOLDERS)
def test_a_bare_clear_after_a_refused_accept_is_forgiven_in_every_status(status: str, holder: str) -> None:
    """[R8]"""
    order = an_order(status, HOLDERS[holder])
    assert decide(order, COMMANDS["clear"], NOW, has_refused_accept=True) == Unchanged(
        order, answers_refused_accept=True
    )


@pytest.mark.parametrize("name", ["clear", "clear me"])
def test_a_free_order_uses_no_remembered_refusal_up(name: str) -> None:
    """[R8] [R4]"""
    order = an_order("CREATED", None)
    assert decide(order, COMMANDS[name], NOW, has_refused_accept=True) == Unchanged(order, answers_refused_accept=False)


@pytest.mark.parametrize("name", [name for name in COMMANDS if name != "clear"])
@pytest.mark.parametrize("status", STATUSES)
def test_a_remembered_refusal_forgives_nothing_but_a_bare_clear(name: str, status: str) -> None:
    """[R8]"""
    order = an_order(status, "them")
    assert decide(order, COMMANDS[name], NOW, has_refused_accept=True) == decide(order, COMMANDS[name], NOW)


def test_nothing_is_forgiven_unless_a_refusal_is_remembered() -> None:
    """[R8]"""
    order, bare = an_order("ACCEPTED", "them"), ClearRunner(order_id="order-1")
    assert clear_runner(order, bare, NOW) == decide(order, bare, NOW) == expected("clear", "G", order)


def test_an_order_is_a_value_that_nobody_changes_in_place() -> None:
    order = an_order("CREATED")
    decide(order, COMMANDS["accept"], NOW)
    assert order == an_order("CREATED")
    with pytest.raises(FrozenInstanceError):
        order.version = 8  # type: ignore[misc]  # it is frozen: that is what is tested


def test_a_status_that_is_entered_again_gets_its_time_again_and_created_at_stays() -> None:
    """[R3]"""
    order = an_order("DELIVERED", "me", placed_at=EARLIER)
    decision = decide(order, update("PLACED"), NOW)
    assert isinstance(decision, Change)
    times = decision.order.placed_at, decision.order.delivered_at, decision.order.created_at
    assert times == (NOW, EARLIER, MADE)
