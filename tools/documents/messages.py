"""The shapes of the records on Kafka, for the AsyncAPI document. Tests hold real records against them."""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, create_model
from pydantic.json_schema import SkipJsonSchema

from app.models.order import OrderStatus
from app.models.rules import ChangeKind
from app.wire.command_types import COMMAND_TYPES
from app.wire.events import EVENT_TYPES
from app.wire.fields import Id
from tools.documents.calls import POSTS


def _without_null_defaults(schema: dict[str, Any]) -> None:
    for field in schema["properties"].values():
        if field.get("default", ...) is None:
            del field["default"]


class Shape(BaseModel):
    """Base: a field that may be absent is never null."""

    model_config = ConfigDict(json_schema_extra=_without_null_defaults)


Version = Annotated[
    Annotated[int, Field(ge=1)] | SkipJsonSchema[None],
    Field(description="The order's new version; absent where nothing was changed [K3]"),
]
CorrelationId = Annotated[str, Field(min_length=1, max_length=255, description="The envelope's, once more")]


class OrderCreated(Shape):
    """A saga's order is there [K4]."""

    order_id: str
    customer_id: str
    status: Literal[OrderStatus.PENDING] = Field(description="As when it was made, also in the answer to a repeat")
    saga_id: str
    version: Version = None
    correlation_id: CorrelationId


class OrderStatusUpdated(Shape):
    """The order has the status [K5]."""

    order_id: str
    status: OrderStatus
    saga_id: str | None = Field(description="Of the saga that made the order; null where none did")
    version: Version = None
    correlation_id: CorrelationId


class OrderCancelled(Shape):
    """The compensation came to its end [K6, K9]."""

    order_id: str
    reason: str
    status: Literal[OrderStatus.DELIVERED, OrderStatus.COMPLETED] | SkipJsonSchema[None] = Field(
        default=None, description="Only where the order was in this final state already, and stays in it"
    )
    version: Version = None
    correlation_id: CorrelationId


class Failed(Shape):
    """Nothing was changed: why not [K7]."""

    error: str = Field(max_length=200, description="A sentence for people")
    code: str = Field(pattern="^[a-z_]+$", description="Stable, for programs")
    correlation_id: CorrelationId


class CreationFailed(Failed):
    """No order was made [K4]."""

    saga_id: str | None = Field(description="The one named, null where it cannot be one")


class CommandFailed(Failed):
    """The order was not changed [K5, K6]."""

    order_id: str | None = Field(description="The one named, known or not; null where it cannot be one")


class OrderEvent(Shape):
    """What an HTTP change announces [K12]."""

    customerId: str
    runnerId: str | None = Field(description="The runner concerned; the one just removed, where one was")
    orderId: str
    status: ChangeKind
    event: str = Field(
        description="The JSON text of the order after the change",
        json_schema_extra={
            "contentMediaType": "application/json",
            "contentSchema": {"$ref": "#/components/schemas/Order"},
        },
    )
    correlation_id: CorrelationId
    source: Literal["order-service"]
    version: int = Field(ge=1, description="The order's new version")


_Traceparent = Annotated[str, Field(pattern="^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$")] | SkipJsonSchema[None]


class CommandHeaders(Shape):
    """Headers of a command's record that the service reads; it reads no others."""

    traceparent: _Traceparent = Field(
        default=None, description="W3C Trace Context; the reply belongs to this trace [K16]"
    )


class RecordHeaders(Shape):
    """Headers of each record on the events topic; their values are UTF-8 text."""

    event_id: str = Field(description="The envelope's")
    type: str = Field(description="The envelope's")
    correlation_id: str = Field(description="The envelope's")
    version: Annotated[str, Field(pattern="^[0-9]+$")] | SkipJsonSchema[None] = Field(
        default=None, description="The payload's; absent where it has none"
    )
    traceparent: _Traceparent = Field(
        default=None, description="The trace of the call or the command; absent where that named none [K16]"
    )


class DeadLetterHeaders(Shape):
    """Headers of each dead letter; their values are UTF-8 text."""

    event_id: str = Field(description="Unique; the same if the letter should ever be there twice")
    error: str = Field(description="Why the command could not be read")
    original_topic: str
    original_partition: str = Field(pattern="^[0-9]+$")
    original_offset: str = Field(pattern="^[0-9]+$")
    truncated: Literal["true"] | SkipJsonSchema[None] = Field(None, description="The value is cut: its first 64 KiB")
    original_length: str | SkipJsonSchema[None] = Field(
        None, pattern="^[0-9]+$", description="Bytes of a truncated value"
    )
    original_sha256: str | SkipJsonSchema[None] = Field(
        None, pattern="^[0-9a-f]{64}$", description="SHA-256 of a truncated value"
    )


HEADERS = (CommandHeaders, RecordHeaders, DeadLetterHeaders)

_Timestamp = Annotated[str | SkipJsonSchema[None], Field(description="ISO 8601; for people, nothing depends on it")]
_Text = Annotated[str, Field(min_length=1, max_length=255)]
_COMMAND: dict[str, Any] = {
    "correlation_id": (Annotated[Id, Field(description="The reply's too; missing here, the payload's is taken")], ...),
    "timestamp": (_Timestamp, None),
}
_RECORD: dict[str, Any] = {
    "correlation_id": (_Text, ...),
    "timestamp": (datetime, ...),
    "source": (Literal["order-service"], ...),
    "event_id": (Annotated[UUID, Field(description="Unique per record; the same in a second copy [K13]")], ...),
}


def _envelope(kind: str, record_type: str, common: dict[str, Any], payload: type[BaseModel]) -> type[BaseModel]:
    """Return the shape of a whole record [K2]. `kind` is part of the shape's name only."""
    fields = {"type": (Literal[record_type], ...), **common, "payload": (payload, ...)}
    return create_model(_name(record_type, kind), __base__=Shape, **fields)


def _name(record_type: str, kind: str) -> str:
    return "".join(word.capitalize() for word in re.split("[._]", f"{record_type}_{kind}"))


def _event(kind: ChangeKind) -> type[BaseModel]:
    event_type = EVENT_TYPES[kind]
    narrowed: dict[str, Any] = {"status": (Literal[kind], ...)}
    payload = create_model(_name(event_type, "payload"), __base__=OrderEvent, **narrowed)
    return _envelope("event", event_type, _RECORD, payload)


def _reply(record_type: str, payload: type[Shape]) -> type[BaseModel]:
    return _envelope("reply", record_type, _RECORD, payload)


_TOLD: Mapping[str, tuple[type[Shape], str, str, str]] = {
    "create_order": (
        OrderCreated,
        "Make an order for a saga; the same saga id again makes no second one",
        "The order is there",
        "No order was made",
    ),
    "update_order_status": (
        OrderStatusUpdated,
        "Set the status of an order, and of its payment",
        "The order has the status",
        "The order was not changed",
    ),
    "cancel_order": (
        OrderCancelled,
        "Cancel an order, as a compensation: it ends the saga whatever state the order is in",
        "The order is cancelled, or was delivered or completed already",
        "The order is unknown, or the payload cannot be used",
    ),
}
"""By command, the shape of its success, and what the document says of the command, its success and its failure."""

_BY_OPERATORS = [
    (ChangeKind.FORGOTTEN, "An operator took a person's data out of it: drop what you keep of that person"),
]
_ANNOUNCED = [*(post.event for post in POSTS.values() if post.event is not None), *_BY_OPERATORS]

COMMANDS = {name: _envelope("command", name, _COMMAND, kind.payload) for name, kind in COMMAND_TYPES.items()}
_FAILURES: dict[str, type[Failed]] = {"saga_id": CreationFailed, "order_id": CommandFailed}
SUCCESSES = {kind.success: _reply(kind.success, _TOLD[name][0]) for name, kind in COMMAND_TYPES.items()}
FAILURES = {kind.failure: _reply(kind.failure, _FAILURES[kind.subject]) for kind in COMMAND_TYPES.values()}
EVENTS = {EVENT_TYPES[kind]: _event(kind) for kind, _ in _ANNOUNCED}
"""The shape of each record by its type."""

SUMMARIES = {
    message: sentence
    for name, kind in COMMAND_TYPES.items()
    for message, sentence in zip((name, kind.success, kind.failure), _TOLD[name][1:], strict=True)
} | {EVENT_TYPES[kind]: sentence for kind, sentence in _ANNOUNCED}
"""What the document says of each record, by its type."""
