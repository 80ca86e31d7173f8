"""What one HTTP change writes, and what its caller gets."""

from dataclasses import dataclass


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
    """The door that a change came through, and its correlation id: written into the history."""

    door: str
    correlation_id: str


@dataclass(frozen=True, slots=True)
class Event:
    """The record that announces a change: its type and finished bytes."""

    type: str
    payload: bytes
