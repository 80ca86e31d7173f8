"""What the clients did, as Jepsen records it: one operation per attempt, with what the client knows of its outcome."""

import hashlib
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

OK, FAIL, INFO = "ok", "fail", "info"
COMMANDS = ("create_order", "update_order_status", "cancel_order")
UNREADABLE = "unreadable"


@dataclass(frozen=True, slots=True)
class Operation:
    """One attempt. `outcome`: ok = it says done, fail = it says not done, info = nobody knows.

    `key` is the order that it is about, where there is none yet the name of the attempt. `value` over HTTP:
    `attempt` (the Idempotency-Key, shared by all sends of one wish), `correlation_id`, `status` (HTTP's; None without
    an answer; `lost` then names why), `answer` (the decoded body) and for accepts `runner`. Over Kafka: `digest` of
    the bytes and `correlation_id` (None where the bytes name none).
    """

    process: str
    f: str
    key: str
    value: Mapping[str, Any]
    invoked: float
    completed: float
    outcome: str


@dataclass(slots=True)
class History:
    """The operations of all clients. Safe for threads."""

    operations: list[Operation] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, operation: Operation) -> None:
        """Append an operation that has ended."""
        with self._lock:
            self.operations.append(operation)

    def where(self, test: Callable[[Operation], bool]) -> list[Operation]:
        """Return the operations so far that pass the test."""
        with self._lock:
            return [operation for operation in self.operations if test(operation)]


def digest(value: bytes | None) -> str:
    """Return the identity of a record's bytes; a tombstone has one too."""
    return "tombstone" if value is None else hashlib.sha256(value).hexdigest()
