"""The commands that this service takes: what the payload of each means, and what its reply tells [K4-K6]."""

from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from app.models.commands import Command, CompensateOrder, CreateOrder, UpdateStatus
from app.models.order import OrderState, OrderStatus
from app.models.records import ReceivedCommand
from app.models.rules import ChangeKind
from app.wire.fields import Id, Input, OrderDetails, Payment, Status, Text

DEFAULT_REASON = "Cancellation requested"


class CommandPayload(Input):
    """The payload of a command."""

    @abstractmethod
    def command(self) -> Command:
        """Return the command that the payload asks for."""


class CreateOrderPayload(CommandPayload):
    """Payload of `create_order` [K4]."""

    customer_id: Id
    order_details: OrderDetails
    saga_id: Id

    def command(self) -> CreateOrder:
        """Return a create on behalf of the saga."""
        return self.order_details.create(self.customer_id, self.saga_id)


class UpdateStatusPayload(CommandPayload):
    """Payload of `update_order_status` [K5]."""

    order_id: Id
    status: Status
    payment_status: Payment | None = None

    def command(self) -> UpdateStatus:
        """Return a move to the status, of the payment too."""
        return UpdateStatus(order_id=self.order_id, status=self.status, payment_status=self.payment_status)


class CancelOrderPayload(CommandPayload):
    """Payload of `cancel_order` [K6]."""

    order_id: Id
    reason: Text = DEFAULT_REASON

    def command(self) -> CompensateOrder:
        """Return a compensation, which always comes to an end [K9]."""
        return CompensateOrder(order_id=self.order_id, reason=self.reason)


def _created(received: ReceivedCommand, order: OrderState) -> dict[str, Any]:
    """The order as it was when it was made, also in the reply to a repeat [K8]."""
    return {
        "order_id": order.order_id,
        "customer_id": order.cust_id,
        "status": OrderStatus.PENDING.value,
        "saga_id": received.saga_id,
    }


def _status_updated(_: ReceivedCommand, order: OrderState) -> dict[str, Any]:
    return {"order_id": order.order_id, "status": order.order_status.value, "saga_id": order.saga_id}


def _cancelled(received: ReceivedCommand, order: OrderState) -> dict[str, Any]:
    """A repeat tells the first reason; an order that was delivered or completed stays so, and the reply says it."""
    status, reason = order.order_status, order.cancel_reason
    if status is not OrderStatus.CANCELLED:
        return {"order_id": order.order_id, "reason": f"Already in final state: {status}", "status": status.value}
    if reason is None and isinstance(received.command, CompensateOrder):
        reason = received.command.reason
    return {"order_id": order.order_id, "reason": reason}


@dataclass(frozen=True, slots=True)
class CommandType:
    """A command by its name on the wire.

    `makes` is the kind of change that this command makes, and no other one. `success` and `failure` are the types of
    its replies; `reply` returns the payload of a success, without version and correlation id. When a lost reply is made
    again, the command is not known, only the order. `subject` is the field that says what the command is about,
    `saga_id` if no order exists yet: a failure names it, and a repeat under the same saga finds its order by it.
    """

    name: str
    payload: type[CommandPayload]
    makes: ChangeKind
    success: str
    failure: str
    reply: Callable[[ReceivedCommand, OrderState], dict[str, Any]]
    subject: Literal["order_id", "saga_id"] = "order_id"


COMMAND_TYPES: Mapping[str, CommandType] = {
    kind.name: kind
    for kind in (
        CommandType(
            "create_order",
            CreateOrderPayload,
            ChangeKind.CREATED,
            "order.created",
            "order.creation_failed",
            _created,
            subject="saga_id",
        ),
        CommandType(
            "update_order_status",
            UpdateStatusPayload,
            ChangeKind.UPDATED,
            "order.status_updated",
            "order.status_update_failed",
            _status_updated,
        ),
        CommandType(
            "cancel_order",
            CancelOrderPayload,
            ChangeKind.CANCELLED,
            "order.cancelled",
            "order.cancellation_failed",
            _cancelled,
        ),
    )
}
"""Every command that this service takes, by its type on the wire."""
