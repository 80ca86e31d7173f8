"""The POST endpoints: their bodies, each of which is checked and means one command, and how they are answered."""

from decimal import Decimal
from typing import Annotated, Any

from pydantic import WithJsonSchema, model_validator

from app.models.commands import (
    AcceptOrder,
    CancelAcceptance,
    CancelOrder,
    ClearRunner,
    Command,
    CompleteOrder,
    CreateOrder,
    UpdateStatus,
)
from app.wire.answers import AnswerForm
from app.wire.fields import Fee, Id, Input, OrderDetails, Status

TEST_DELIVERY_FEE = Decimal("3.99")  # the fixed fee of testCreateOrder [H7]


class Body(Input):
    """A body that means one command."""

    def command(self) -> Command:
        """Return the command that this body asks for."""
        raise NotImplementedError


class CreateOrderBody(Body):
    """Body of `createOrder`."""

    customer_id: Id
    order_details: OrderDetails

    def command(self) -> CreateOrder:
        return self.order_details.create(self.customer_id)


class FixedFeeDetails(OrderDetails):
    """`order_details` of a test order: any fee may be sent."""

    deliveryFee: Annotated[Fee, WithJsonSchema({"description": "Ignored: the fee is 3.99"})] = TEST_DELIVERY_FEE


class CreateTestOrderBody(CreateOrderBody):
    """Body of `testCreateOrder`: the fee is fixed, one that is sent is not even looked at."""

    order_details: FixedFeeDetails

    @model_validator(mode="before")
    @classmethod
    def _ignore_the_fee(cls, body: Any) -> Any:
        details = body.get("order_details") if isinstance(body, dict) else None
        if not isinstance(details, dict):
            return body
        without_fee = {name: value for name, value in details.items() if name != "deliveryFee"}
        return {**body, "order_details": {**without_fee, "deliveryFee": TEST_DELIVERY_FEE} if without_fee else {}}

    def command(self) -> CreateOrder:
        return self.order_details.create(self.customer_id, announce=False)


class OrderBody(Body):
    """A body that names an order."""

    orderId: Id


class UpdateStatusBody(OrderBody):
    """Body of `updateOrderStatus`."""

    status: Status

    def command(self) -> UpdateStatus:
        return UpdateStatus(order_id=self.orderId, status=self.status)


class AcceptOrderBody(OrderBody):
    """Body of `verifyAndAcceptOrder`."""

    runner_id: Id

    def command(self) -> AcceptOrder:
        return AcceptOrder(order_id=self.orderId, runner_id=self.runner_id)


class CancelOrderBody(OrderBody):
    """Body of `cancelOrder`."""

    def command(self) -> CancelOrder:
        return CancelOrder(order_id=self.orderId)


class CancelAcceptanceBody(OrderBody):
    """Body of `cancelAcceptance`."""

    def command(self) -> CancelAcceptance:
        return CancelAcceptance(order_id=self.orderId)


class ClearRunnerBody(OrderBody):
    """Body of `clearRunner`; with `runner_id` only that runner's hold is cleared."""

    runner_id: Id | None = None

    def command(self) -> ClearRunner:
        return ClearRunner(order_id=self.orderId, runner_id=self.runner_id)


class CompleteOrderBody(OrderBody):
    """Body of `completeOrder`."""

    def command(self) -> CompleteOrder:
        return CompleteOrder(order_id=self.orderId)


CHANGES: tuple[tuple[str, type[Body], AnswerForm], ...] = (
    (
        "create_order",  # [H6]
        CreateOrderBody,
        AnswerForm("/createOrder", "Order created successfully", status=201),
    ),
    (
        "create_test_order",  # [H7]
        CreateTestOrderBody,
        AnswerForm("/testCreateOrder", "Order created successfully", status=201),
    ),
    (
        "update_order_status",  # [H8]
        UpdateStatusBody,
        AnswerForm("/updateOrderStatus", "Order status updated successfully", shows_order=True),
    ),
    (
        "verify_and_accept_order",  # [H9]
        AcceptOrderBody,
        AnswerForm("/verifyAndAcceptOrder", "Order accepted successfully"),
    ),
    (
        "cancel_order",  # [H10]
        CancelOrderBody,
        AnswerForm("/cancelOrder", "Order cancelled successfully", shows_order=True),
    ),
    (
        "cancel_acceptance",  # [H11]
        CancelAcceptanceBody,
        AnswerForm("/cancelAcceptance", "Order acceptance cancelled successfully", shows_order=True),
    ),
    (
        "clear_runner",  # [H12]
        ClearRunnerBody,
        AnswerForm("/clearRunner", "Runner cleared successfully", shows_order=True),
    ),
    (
        "complete_order",  # [H13]
        CompleteOrderBody,
        AnswerForm("/completeOrder", "Order completed successfully", shows_order=True),
    ),
)
"""By endpoint: what is read of the body, and how the change is answered."""

CHANGE_PATHS = tuple(form.path for _, _, form in CHANGES)
"""The paths of changes; they take an Idempotency-Key."""

SAYS_SUCCESS = frozenset(form.path for _, _, form in CHANGES if not form.shows_order)
"""The paths whose answers have `success`."""
