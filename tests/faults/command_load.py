"""A producer of commands as the orchestrators send them: keyed and unkeyed, some twice, some unreadable."""

import json
import random
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from kafka import KafkaProducer
from kafka.errors import KafkaError

from tests.harness.history import COMMANDS, INFO, OK, UNREADABLE, History, Operation, digest
from tests.harness.load import ORDER_DETAILS, KnownOrders
from tests.harness.stack import Stack

SENT_TWICE = 0.02
NOT_READABLE = 0.005
UNKNOWN_ORDER = 0.03
_STATUSES = ("CREATED", "PLACED", "ON_THE_WAY", "DELIVERED", "CREATED", "NO_SUCH_STATUS")
_FLUSH_SECONDS = 30.0
_LARGEST = 2 * 1024 * 1024  # more than the broker takes: it is the one to refuse


@dataclass(frozen=True, slots=True)
class Message:
    """One record to send, and what the history should say of it."""

    f: str
    about: str
    correlation_id: str | None
    key: bytes | None
    value: bytes | None


def command(f: str, payload: dict[str, Any], correlation_id: str, key: str | None = None) -> Message:
    """Return a command in the envelope of the contract; the orchestrator's naive timestamp is part of it."""
    sent_at = datetime.now(UTC).replace(tzinfo=None).isoformat()
    envelope = {"type": f, "correlation_id": correlation_id, "timestamp": sent_at, "payload": payload}
    about = payload.get("order_id") or payload.get("saga_id") or correlation_id
    return Message(f, about, correlation_id, key.encode() if key else None, json.dumps(envelope).encode())


def _envelope(**changed: Any) -> bytes:
    whole = {"type": "cancel_order", "correlation_id": "c", "payload": {"order_id": "o"}} | changed
    return json.dumps({name: value for name, value in whole.items() if value is not None}).encode()


UNREADABLE_WAYS: tuple[Callable[[str], bytes | None], ...] = (
    lambda mark: b"\xff\xfe not text " + mark.encode(),
    lambda mark: f"not JSON {mark}".encode(),
    lambda mark: json.dumps([mark]).encode(),
    lambda mark: _envelope(type=None, mark=mark),
    lambda mark: _envelope(type="make_coffee", mark=mark),
    lambda mark: _envelope(correlation_id=None, mark=mark),
    lambda mark: _envelope(mark=mark, padding="x" * 140_000),
    lambda _: None,
)


def unreadable(way: int, mark: str) -> Message:
    """Return one of the eight kinds of records that can only become dead letters."""
    return Message(UNREADABLE, mark, None, mark.encode(), UNREADABLE_WAYS[way](mark))


class CommandProducer(threading.Thread):
    """One producer with a seed of its own; ends soon after `stop` is set, when every send has an outcome."""

    def __init__(
        self,
        name: str,
        bootstrap: str,
        topic: str,
        known: KnownOrders,
        history: History,
        seed: int,
        per_second: float,
        unreadable: float,
    ) -> None:
        super().__init__(name=name, daemon=True)
        self._rng = random.Random(f"{seed}-{name}")
        self._servers = bootstrap
        self._topic = topic
        self._known = known
        self._history = history
        self._per_second = per_second
        self._unreadable = unreadable
        self.stop = threading.Event()

    def run(self) -> None:
        """Send at the pace until `stop`."""
        with KafkaProducer(bootstrap_servers=self._servers, linger_ms=5, max_block_ms=5000) as producer:
            sends = []
            due = time.monotonic()
            while not self.stop.wait(max(due - time.monotonic(), 0)):
                message = self._message()
                copies = 2 if self._rng.random() < SENT_TWICE else 1
                sends += [(message, time.monotonic(), self._send(producer, message)) for _ in range(copies)]
                due = max(due + 1 / self._per_second, time.monotonic() - 1)
            give_up = time.monotonic() + _FLUSH_SECONDS
            for message, started, future in sends:
                self._record(message, started, future, give_up)

    def _send(self, producer: KafkaProducer, message: Message) -> Any:
        try:
            return producer.send(self._topic, value=message.value, key=message.key)
        except KafkaError:
            return None

    def _record(self, message: Message, started: float, future: Any, give_up: float) -> None:
        outcome = INFO
        if future is not None:
            try:
                future.get(timeout=max(give_up - time.monotonic(), 0.1))
                outcome = OK
            except KafkaError:
                outcome = INFO
        value = {"digest": digest(message.value), "correlation_id": message.correlation_id}
        self._history.add(Operation(self.name, message.f, message.about, value, started, time.monotonic(), outcome))

    def _message(self) -> Message:
        rng = self._rng
        fresh = uuid.UUID(int=rng.getrandbits(128), version=4).hex
        if rng.random() < self._unreadable:
            return unreadable(rng.randrange(len(UNREADABLE_WAYS)), fresh)
        f = rng.choices(COMMANDS, (5, 4, 1))[0]
        order_id = self._known.any(rng)
        if f == "create_order" or order_id is None:
            payload: dict[str, Any] = {
                "customer_id": "customer-kafka",
                "saga_id": fresh,
                "order_details": ORDER_DETAILS,
            }
            return command("create_order", payload, fresh, fresh if rng.random() < 0.5 else None)
        order_id = f"unknown-{fresh}" if rng.random() < UNKNOWN_ORDER else order_id
        changed = {"order_id": order_id}
        if f == "update_order_status":
            changed["status"] = rng.choice(_STATUSES)
        return command(f, changed, fresh, order_id if rng.random() < 0.5 else None)


def publish(stack: Stack, history: History, messages: Iterable[Message], partition: int | None = None) -> list[str]:
    """Send the messages and wait for the broker; each has its outcome in the history. Return their places in the log.

    Raises KafkaError.
    """
    places = []
    with KafkaProducer(bootstrap_servers=stack.broker.bootstrap, linger_ms=5, max_request_size=_LARGEST) as producer:
        started = time.monotonic()
        sent = [
            (it, producer.send(stack.commands_topic, value=it.value, key=it.key, partition=partition))
            for it in messages
        ]
        for message, future in sent:
            place = future.get(timeout=_FLUSH_SECONDS)
            places.append(f"{place.topic}/{place.partition}/{place.offset}")
            value = {"digest": digest(message.value), "correlation_id": message.correlation_id}
            history.add(Operation("publish", message.f, message.about, value, started, time.monotonic(), OK))
    return places


@contextmanager
def command_load(
    bootstrap: str,
    topic: str,
    known: KnownOrders,
    history: History,
    seed: int,
    per_second: float,
    unreadable: float = NOT_READABLE,
) -> Iterator[None]:
    """A producer at work while the body runs; afterwards every send has its outcome in the history.

    `unreadable`: the share of records that can only become dead letters.
    """
    producer = CommandProducer("kafka-0", bootstrap, topic, known, history, seed, per_second, unreadable)
    producer.start()
    try:
        yield
    finally:
        producer.stop.set()
        producer.join(2 * _FLUSH_SECONDS)
