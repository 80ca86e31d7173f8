"""What one HTTP change commits, and what its caller gets."""

import uuid
from dataclasses import dataclass
from enum import Enum

from app.models.rules import Change


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """What a caller gets: the HTTP status and the JSON bytes."""

    status: int
    body: bytes


@dataclass(frozen=True, slots=True)
class IdempotencyKey:
    """The key of one request: unique per path, bound to the bytes of the body [H15]."""

    path: str
    key: str
    body_hash: bytes


@dataclass(frozen=True, slots=True)
class ChangeSource:
    """The door that a change came through, its correlation id, its caller's name and its trace: written into the
    history.

    `caller`: None where nobody is asked. `traceparent`: None where the caller named no trace.
    """

    door: str
    correlation_id: str
    caller: str | None = None
    traceparent: str | None = None


@dataclass(frozen=True, slots=True)
class Event:
    """The record that announces a change, as finished bytes. NO_EVENT is of a change that is not announced [H7]."""

    type: str | None
    payload: bytes | None


NO_EVENT = Event(None, None)


@dataclass(frozen=True, slots=True)
class OrderWrite:
    """Everything that one change commits."""

    change: Change
    change_id: uuid.UUID
    source: ChangeSource
    event: Event
    key: IdempotencyKey | None
    answer: HttpAnswer

    @property
    def size(self) -> int:
        """About how many bytes it writes."""
        return len(self.change.order.order_description or "") + len(self.event.payload or b"")


class Outcome(Enum):
    """What became of a write."""

    DONE = "committed"
    MOVED_ON = "nothing was done: the order is no longer as it was read"
