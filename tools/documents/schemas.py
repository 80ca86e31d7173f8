"""The shapes of the answers, for the OpenAPI document. Tests hold real answers against them."""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, Field

from app.models.order import OrderStatus, PaymentStatus


class Order(BaseModel):
    """One order [O1-O5]."""

    orderId: str
    custId: str
    runnerId: str | None
    orderDescription: str = Field(description="The JSON text of the food items, as they were sent")
    foodFee: float = Field(ge=0, le=999.99, description="Dollars, at most two decimals")
    deliveryFee: float = Field(ge=0, le=999.99, description="Dollars, at most two decimals")
    storeLocation: str | None
    deliveryLocation: str
    orderStatus: OrderStatus
    sagaId: str | None
    createdAt: datetime
    updatedAt: datetime
    acceptedAt: datetime | None
    placedAt: datetime | None
    pickedUpAt: datetime | None = Field(description="When it was on the way")
    deliveredAt: datetime | None
    completedAt: datetime | None
    cancelledAt: datetime | None
    paymentStatus: PaymentStatus
    cancelReason: str | None = Field(description="Set by the Kafka command cancel_order")
    version: int = Field(ge=1, description="Grows by one with each change")


class Page(BaseModel):
    """One page of a list, newest first [H3]."""

    items: list[Order]
    total: int = Field(ge=0)
    pages: int = Field(ge=0)
    page: int = Field(ge=1)


class Changed(BaseModel):
    """An order after a change, or as it is where the change had been made already."""

    message: str
    order: Order


class Cleared(Changed):
    """As Changed; `changed` is there, and false, where the call was a refused runner's compensation [R8]."""

    changed: Literal[False] = Field(default=False)


class Done(BaseModel):
    """A success that names the order."""

    success: Literal[True]
    message: str
    order_id: str


class Failure(BaseModel):
    """Why not [H1]."""

    error: str = Field(max_length=200, description="A sentence for people")
    code: str = Field(pattern="^[a-z_]+$", description="Stable, for programs")
    success: Literal[False] = Field(default=False, description="Only where successes say `success: true`")


class Healthy(BaseModel):
    """Somebody answers [H2]."""

    status: Literal["healthy"]
