"""Random commands against an independent little model of an order: what must hold after any story at all."""

from datetime import timedelta
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

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
from app.models.rules import Change, Refusal, Unchanged, create, decide
from tests.unit.builders import BOUNDED, NOW, a_create

HELD = ("ACCEPTED", "PLACED", "ON_THE_WAY", "DELIVERED", "COMPLETED")
FINAL = ("COMPLETED", "CANCELLED")
RUNNERS = st.sampled_from(["ada", "bob"])


class Story(RuleBasedStateMachine):
    """One order and everything that callers do to it. The model is status, runner, payment, version and a set time."""

    order: OrderState
    runner: str | None

    @initialize()
    def begin(self) -> None:
        """[R1]"""
        self.now = NOW
        self.order = create(a_create(), "order-1", NOW).order
        self.status, self.runner, self.payment, self.version = "PENDING", None, "PENDING", 1
        self.accepted: Any = None

    def _expect(
        self, command: OrderCommand, outcome: str | None, has_refused_accept: bool = False, **payment: str
    ) -> None:
        """`outcome`: the status to move to, "" for no change, None for a refusal."""
        self.now += timedelta(seconds=1)
        before = self.order
        decision = decide(before, command, self.now, has_refused_accept=has_refused_accept)
        if outcome is None:
            assert isinstance(decision, Refusal)
        elif outcome == "":
            assert isinstance(decision, Unchanged)
            assert decision.order is before  # the identical order
        else:
            assert isinstance(decision, Change)
            assert decision.before is before
            self._move(decision.order, outcome, **payment)

    def _move(self, order: OrderState, status: str, payment: str | None = None) -> None:
        entered = status != self.status
        self.order, self.status, self.version = order, status, self.version + 1
        self.payment = payment or self.payment
        if entered and status in ("PENDING", "CREATED"):
            self.runner = self.accepted = None
        elif entered and status == "ACCEPTED":
            self.accepted = self.now
        assert order.updated_at == self.now

    def _free(self) -> bool:
        return self.status == "CREATED" and self.runner is None

    @rule(status=st.sampled_from(OrderStatus), payment=st.none() | st.sampled_from(PaymentStatus))
    def update(self, status: OrderStatus, payment: PaymentStatus | None) -> None:
        """[R2] [R3] [R4]"""
        command = UpdateStatus(order_id="order-1", status=status, payment_status=payment)
        paid = payment.value if payment else self.payment
        if status.value == self.status:
            self._expect(command, self.status if paid != self.payment else "", payment=paid)
        else:
            self._expect(command, None if self.status in FINAL else status.value, payment=paid)

    @rule(runner=RUNNERS)
    def accept(self, runner: str) -> None:
        """[R5]"""
        held_by_me = self.status in HELD and self.runner == runner
        outcome = "ACCEPTED" if self.status == "CREATED" else "" if held_by_me else None
        if outcome == "ACCEPTED":
            self.runner = runner
        self._expect(AcceptOrder(order_id="order-1", runner_id=runner), outcome)

    @rule()
    def cancel(self) -> None:
        """[H10]"""
        outcome = {"CREATED": "CANCELLED", "CANCELLED": ""}.get(self.status)
        self._expect(CancelOrder(order_id="order-1"), outcome)

    @rule(reason=st.text(max_size=3))
    def compensate(self, reason: str) -> None:
        """[K9]"""
        over = self.status in ("DELIVERED", *FINAL)
        first = self.order.cancel_reason
        self._expect(CompensateOrder(order_id="order-1", reason=reason), "" if over else "CANCELLED")
        assert self.order.cancel_reason == (first if over else reason)

    @rule()
    def complete(self) -> None:
        """[H13]"""
        outcome = {"COMPLETED": "", "CANCELLED": None}.get(self.status, "COMPLETED")
        self._expect(CompleteOrder(order_id="order-1"), outcome)

    @rule()
    def cancel_acceptance(self) -> None:
        """[H11]"""
        outcome = "" if self._free() else "CREATED" if self.status == "ACCEPTED" else None
        self._expect(CancelAcceptance(order_id="order-1"), outcome)

    @rule(runner=st.none() | RUNNERS, has_refused_accept=st.booleans())
    def clear(self, runner: str | None, has_refused_accept: bool) -> None:
        """[H12] [R8]"""
        allowed = self.status == "ACCEPTED" and runner in (None, self.runner)
        unchanged = self._free() or (runner is None and has_refused_accept)
        outcome = "" if unchanged else "CREATED" if allowed else None
        self._expect(ClearRunner(order_id="order-1", runner_id=runner), outcome, has_refused_accept)

    @invariant()
    def the_order_is_what_the_model_says(self) -> None:
        """[O5] The version is gapless, and whoever holds the order is who it says."""
        order = self.order
        assert (order.order_status, order.runner_id, order.payment_status) == (self.status, self.runner, self.payment)
        assert (order.version, order.accepted_at, order.created_at) == (self.version, self.accepted, NOW)

    @invariant()
    def a_free_order_has_neither_runner_nor_time_of_acceptance(self) -> None:
        """[R3]"""
        if self.order.order_status in ("PENDING", "CREATED"):
            assert (self.order.runner_id, self.order.accepted_at) == (None, None)


Story.TestCase.settings = settings(BOUNDED, stateful_step_count=30)
TestStory = Story.TestCase
