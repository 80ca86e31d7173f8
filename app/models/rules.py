"""The rules of the contract (R1-R8, K9) as pure functions: an order and a command in, a decision out.

No database, no Flask, no Kafka, no clock: `now` is an argument. Each command has one function. HTTP and Kafka share
those of a create and of a status update; a cancel over HTTP (`cancel`) and one over Kafka (`compensate`) have two.
TABLE says what each command does to an order in each status; the functions add what depends on runner and payment.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import Enum, StrEnum
from types import MappingProxyType
from typing import Any

from app.models.commands import (
    AcceptOrder,
    CancelAcceptance,
    CancelOrder,
    ClearRunner,
    CompensateOrder,
    CompleteOrder,
    CreateOrder,
    OrderCommand,
    UpdateStatus,
)
from app.models.order import TIME_OF_STATUS, OrderState, OrderStatus


class Verdict(Enum):
    """What an operation does to an order in a given status."""

    GO = "it moves"
    SAME = "it is so already: success without a change [R4]"
    NO = "refused"


class ChangeKind(StrEnum):
    """What happened to the order: the name in its history, and of its HTTP event."""

    CREATED = "created"
    UPDATED = "updated"
    ACCEPTED = "accepted"
    CANCELLED = "cancelled"
    ACCEPTANCE_CANCELLED = "acceptanceCancelled"
    RUNNER_CLEARED = "runnerCleared"
    COMPLETED = "completed"
    FORGOTTEN = "forgotten"


@dataclass(frozen=True, slots=True)
class Change:
    """The order changes: `order` is the order afterwards, `runner_id` the runner concerned [K12]."""

    kind: ChangeKind
    before: OrderState | None
    order: OrderState
    runner_id: str | None
    announce: bool = True


@dataclass(frozen=True, slots=True)
class Unchanged:
    """Success without a change. `answers_refused_accept`: a remembered refusal of an accept is used up by it [R8]."""

    order: OrderState
    answers_refused_accept: bool = False


@dataclass(frozen=True, slots=True)
class Refusal:
    """The caller gets a failure: rules, input or a fault forbid the change. `message` is for people, `code` stable."""

    code: str
    message: str


Decision = Change | Unchanged | Refusal

GO, SAME, NO = Verdict.GO, Verdict.SAME, Verdict.NO
_ROWS: Mapping[type, tuple[Verdict, ...]] = {
    #                 PENDING CREATED ACCEPTED PLACED ON_THE_WAY DELIVERED COMPLETED CANCELLED
    UpdateStatus: (GO, GO, GO, GO, GO, GO, NO, NO),  # to another status; to the one it has: SAME
    AcceptOrder: (NO, GO, SAME, SAME, SAME, SAME, SAME, NO),  # SAME for the runner that holds it, else NO
    CancelOrder: (NO, GO, NO, NO, NO, NO, NO, SAME),
    CancelAcceptance: (NO, SAME, GO, NO, NO, NO, NO, NO),  # SAME without a runner, else NO
    ClearRunner: (NO, SAME, GO, NO, NO, NO, NO, NO),  # as above; GO only for the runner named, if one is
    CompleteOrder: (GO, GO, GO, GO, GO, GO, SAME, NO),
    CompensateOrder: (GO, GO, GO, GO, GO, SAME, SAME, SAME),  # SAME: its reply tells the status [K9]
}
TABLE: Mapping[type, Mapping[OrderStatus, Verdict]] = MappingProxyType(
    {command: MappingProxyType(dict(zip(OrderStatus, row, strict=True))) for command, row in _ROWS.items()}
)

ORDER_TAKEN = "order_taken"
NOT_FOUND = Refusal("order_not_found", "Order not found")


def create(command: CreateOrder, order_id: str, now: datetime) -> Change:
    """A new order is PENDING, over both doors [R1]."""
    order = OrderState(
        order_id=order_id,
        cust_id=command.customer_id,
        order_description=command.order_description,
        food_fee=command.food_fee,
        delivery_fee=command.delivery_fee,
        store_location=command.store_location,
        delivery_location=command.delivery_location,
        saga_id=command.saga_id,
        created_at=now,
        updated_at=now,
    )
    return Change(ChangeKind.CREATED, None, order, None, command.announce)


def decide(
    order: OrderState | None, command: OrderCommand, now: datetime, *, has_refused_accept: bool = False
) -> Decision:
    """Decide what `command` does to `order` (None: there is none) at `now`.

    `has_refused_accept`: a refused accept of this order is still remembered [R8]. Raises nothing.
    """
    if order is None:
        return NOT_FOUND
    if isinstance(command, ClearRunner):
        return clear_runner(order, command, now, has_refused_accept=has_refused_accept)
    return _RULES[type(command)](order, command, now)


def update_status(order: OrderState, command: UpdateStatus, now: datetime) -> Decision:
    """From any status but a final one to any status [R2, R3]. A new payment status alone is a change too [R4]."""
    payment = command.payment_status or order.payment_status
    if command.status is order.order_status:
        if payment is order.payment_status:
            return Unchanged(order)
        return _moved(ChangeKind.UPDATED, order, now, payment_status=payment)
    if _verdict(order, command) is NO:
        return _refused(order, "updated")
    after = _entered(command.status, now)
    return _moved(ChangeKind.UPDATED, order, now, payment_status=payment, **after)


def accept(order: OrderState, command: AcceptOrder, now: datetime) -> Decision:
    """Only from CREATED. A repeat by the runner that holds the order is success [R4, R5]."""
    verdict = _verdict(order, command)
    if verdict is GO:
        after = _entered(OrderStatus.ACCEPTED, now)
        return _moved(ChangeKind.ACCEPTED, order, now, runner_id=command.runner_id, **after)
    if verdict is SAME and order.holder == command.runner_id:
        return Unchanged(order)
    code = ORDER_TAKEN if order.holder is not None else "status_not_allowed"
    return _refused(order, "accepted", code)


def cancel(order: OrderState, command: CancelOrder, now: datetime) -> Decision:
    """The customer's cancel: only from CREATED [H10]."""
    verdict = _verdict(order, command)
    if verdict is NO:
        return _refused(order, "cancelled")
    if verdict is SAME:
        return Unchanged(order)
    return _moved(ChangeKind.CANCELLED, order, now, **_entered(OrderStatus.CANCELLED, now))


def compensate(order: OrderState, command: CompensateOrder, now: datetime) -> Decision:
    """The saga's cancel: from every status but DELIVERED and COMPLETED, and never refused [K9]."""
    if _verdict(order, command) is SAME:
        return Unchanged(order)
    after = _entered(OrderStatus.CANCELLED, now)
    return _moved(ChangeKind.CANCELLED, order, now, cancel_reason=command.reason, **after)


def cancel_acceptance(order: OrderState, command: CancelAcceptance, now: datetime) -> Decision:
    """Back to CREATED, without a runner [H11]."""
    return _give_back(order, command, now, ChangeKind.ACCEPTANCE_CANCELLED, "Order acceptance cannot be cancelled")


def clear_runner(
    order: OrderState, command: ClearRunner, now: datetime, *, has_refused_accept: bool = False
) -> Decision:
    """Back to CREATED [H12], unless the command is a refused runner's compensation [R8] or names another runner."""
    if _is_free(order):
        return Unchanged(order)
    if command.runner_id is None and has_refused_accept:
        return Unchanged(order, answers_refused_accept=True)
    if _verdict(order, command) is GO and command.runner_id not in (None, order.runner_id):
        return Refusal("runner_mismatch", "Order is not held by this runner")
    return _give_back(order, command, now, ChangeKind.RUNNER_CLEARED, "Runner cannot be cleared")


def complete(order: OrderState, command: CompleteOrder, now: datetime) -> Decision:
    """From every status but CANCELLED [H13]."""
    verdict = _verdict(order, command)
    if verdict is NO:
        return _refused(order, "completed")
    if verdict is SAME:
        return Unchanged(order)
    return _moved(ChangeKind.COMPLETED, order, now, **_entered(OrderStatus.COMPLETED, now))


_RULES: Mapping[type, Callable[[OrderState, Any, datetime], Decision]] = {
    UpdateStatus: update_status,
    AcceptOrder: accept,
    CancelOrder: cancel,
    CompensateOrder: compensate,
    CancelAcceptance: cancel_acceptance,
    CompleteOrder: complete,
}


def _give_back(order: OrderState, command: OrderCommand, now: datetime, kind: ChangeKind, refusal: str) -> Decision:
    if _is_free(order):
        return Unchanged(order)
    if _verdict(order, command) is not GO:
        return Refusal("status_not_allowed", f"{refusal} in status: {order.order_status}")
    return replace(_moved(kind, order, now, **_entered(OrderStatus.CREATED, now)), runner_id=order.runner_id)


def _is_free(order: OrderState) -> bool:
    return order.order_status is OrderStatus.CREATED and order.runner_id is None


def _verdict(order: OrderState, command: OrderCommand) -> Verdict:
    verdicts = TABLE[type(command)]
    return verdicts.get(order.order_status, verdicts[OrderStatus.PENDING])


def _entered(status: OrderStatus, now: datetime) -> dict[str, Any]:
    """Return what entering a status sets: the status, its time, and no runner where the order is free again [R3]."""
    entered: dict[str, Any] = {"order_status": status}
    if status in TIME_OF_STATUS:
        entered[TIME_OF_STATUS[status]] = now
    else:
        entered |= {"runner_id": None, "accepted_at": None}
    return entered


def _moved(kind: ChangeKind, order: OrderState, now: datetime, **after: Any) -> Change:
    moved = replace(order, version=order.version + 1, updated_at=now, **after)
    return Change(kind, order, moved, moved.runner_id)


def _refused(order: OrderState, verb: str, code: str = "status_not_allowed") -> Refusal:
    return Refusal(code, f"Order cannot be {verb} in status: {order.order_status}")
