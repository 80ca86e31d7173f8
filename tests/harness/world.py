"""One test's own part of the real servers: its topics, its group, its database, and the service between them."""

import json
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cached_property
from typing import Any, cast

import psycopg2
from flask import Flask
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.errors import KafkaError, TopicAlreadyExistsError
from kafka.serializer import Serializer
from psycopg2.extensions import connection as Connection

from app import create_app
from app.config.config import Settings
from app.services.kafka_service import KafkaService
from app.utils.alarms import Alarms

Row = dict[str, Any]
_TOMBSTONE = object()


class _Bytes(Serializer):
    """As they are; the producer itself takes no None without a key."""

    def serialize(self, topic: str, headers: object, data: object) -> object:
        return None if data is _TOMBSTONE else data


def wait_for(condition: Callable[[], Any], what: str, seconds: float = 60.0) -> Any:
    """Return the condition's value as soon as it is true; fail after `seconds`."""
    deadline = time.monotonic() + seconds
    pause = 0.01
    while not (value := condition()):
        assert time.monotonic() < deadline, f"waited {seconds} s in vain: {what}"
        time.sleep(pause)
        pause = min(pause * 1.5, 0.1)
    return value


def patiently(call: Callable[..., Any], *arguments: Any) -> Any:
    """Return what the call returns once that is something: a starved broker is without a leader for a moment."""

    def attempt() -> Any:
        try:
            return call(*arguments)
        except KafkaError:
            return None

    return wait_for(attempt, f"{call.__name__}{arguments}", 40)


class Wire:
    """The clients of one test: a producer like the old ones, a reader, and the admin that all tests share.

    Producer and reader are opened at their first use and closed with the test: kafka-python 3.0.12 asks without end
    for the leaders of every partition that it ever had to do with, also when their topic is deleted.
    """

    def __init__(self, bootstrap: str, admin: KafkaAdminClient) -> None:
        self._common: dict[str, Any] = {"bootstrap_servers": bootstrap, "reconnect_backoff_max_ms": 200}
        self._open: list[Any] = []
        self.admin = admin

    @cached_property
    def producer(self) -> KafkaProducer:
        options = {"enable_idempotence": False, "acks": 1, "max_in_flight_requests_per_connection": 1}
        self._open.append(KafkaProducer(**self._common, **options, value_serializer=_Bytes()))
        return self._open[-1]

    @cached_property
    def reader(self) -> KafkaConsumer:
        self._open.append(KafkaConsumer(**self._common, enable_auto_commit=False, auto_offset_reset="earliest"))
        return self._open[-1]

    def close(self) -> None:
        while self._open:
            self._open.pop().close()

    def create_topics(self, *topics: str, partitions: int = 3, **configs: object) -> None:
        named = {name.replace("_", "."): str(value) for name, value in configs.items()}
        options = {"num_partitions": partitions, "replication_factor": 1, "configs": named}

        def create_if_missing() -> bool:
            with suppress(TopicAlreadyExistsError):
                self.admin.create_topics(dict.fromkeys(topics, options))
            self.admin.wait_for_topics(list(topics))
            return True

        patiently(create_if_missing)

    def send(self, topic: str, value: bytes | None, key: bytes | None = None, partition: int | None = None) -> Any:
        """Send without headers; return the future of its place."""
        return self.producer.send(topic, value=_TOMBSTONE if value is None else value, key=key, partition=partition)

    def places(self, topic: str) -> list[TopicPartition]:
        partitions = patiently(self.reader.partitions_for_topic, topic)
        return [TopicPartition(topic, partition) for partition in sorted(partitions)]

    def ends(self, topic: str) -> dict[int, int]:
        ends = patiently(self.reader.end_offsets, self.places(topic))
        return {place.partition: end for place, end in ends.items()}

    def read(self, topic: str, seconds: float = 20.0) -> list[Row]:
        """Return every record of the topic from its beginning to its present end, partition by partition."""
        places = self.places(topic)
        ends = patiently(self.reader.end_offsets, places)
        self.reader.assign(places)
        self.reader.seek_to_beginning(*places)
        found: list[Row] = []
        deadline = time.monotonic() + seconds
        while any(self.reader.position(place) < ends[place] for place in places):
            assert time.monotonic() < deadline, f"{topic} could not be read in {seconds} s"
            for records in self.reader.poll(timeout_ms=100).values():
                found += map(_row, records)
        self.reader.assign([])
        return sorted(found, key=lambda row: (row["partition"], row["offset"]))


def _row(record: Any) -> Row:
    return {
        "key": record.key,
        "value": record.value,
        "headers": {name: value.decode() for name, value in record.headers},
        "partition": record.partition,
        "offset": record.offset,
    }


class World:
    """Topics, group and database of one test."""

    def __init__(self, wire: Wire, bootstrap: str, database_url: str) -> None:
        name = uuid.uuid4().hex
        self.wire = wire
        self.commands, self.events, self.letters = (f"{name}.{kind}" for kind in ("commands", "events", "dlq"))
        self.group = f"{name}.group"
        self.database_url = database_url
        self.environment = {
            "DATABASE_URL": database_url,
            "KAFKA_BOOTSTRAP_SERVERS": bootstrap,
            "KAFKA_COMMANDS_TOPIC": self.commands,
            "KAFKA_EVENTS_TOPIC": self.events,
            "KAFKA_DEAD_LETTER_TOPIC": self.letters,
            "KAFKA_GROUP_ID": self.group,
            "RELAY_SETTLE_MS": "50",
            "CHECK_AT": "",  # a test begins its checks itself
        }
        self.apps: list[Flask] = []
        self._connection: Connection | None = None

    # The service

    def settings(self, **environment: str) -> Settings:
        return Settings.load(self.environment | environment)

    def start(self, **environment: str) -> Flask:
        """Start one more instance of the service; returns at once."""
        app = create_app(self.settings(**environment))
        self.apps.append(app)
        service_of(app).start()
        return app

    def stop(self) -> None:
        while self.apps:
            service_of(self.apps.pop()).stop()

    def close(self) -> None:
        """Stop what runs, and delete the topics: a thousand partitions are too many for a broker with 256 MB."""
        self.stop()
        self.reconnect()
        self.wire.close()
        with suppress(KafkaError):
            self.wire.admin.delete_topics([self.commands, self.events, self.letters], raise_errors=False)

    def alarm(self, name: str) -> str | None:
        """The sentence of an open alarm of the last instance."""
        return cast(Alarms, self.apps[-1].extensions["alarms"]).all().get(name)

    # The database

    def query(self, statement: str, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        if self._connection is None or self._connection.closed:
            self._connection = psycopg2.connect(self.database_url, connect_timeout=2)
            self._connection.autocommit = True
        with self._connection.cursor() as cursor:
            cursor.execute(statement, parameters)
            return cursor.fetchall() if cursor.description else []

    def reconnect(self) -> None:
        """After the server was stopped."""
        if self._connection is not None:
            self._connection.close()

    def count(self, table: str, condition: str = "true") -> int:
        return int(self.query(f"SELECT count(*) FROM {table} WHERE {condition}")[0][0])

    def order(self, order_id: str) -> tuple[Any, ...] | None:
        """Status, payment status, reason and version."""
        columns = "order_status, payment_status, cancel_reason, version"
        rows = self.query(f"SELECT {columns} FROM orders WHERE order_id = %s", (order_id,))
        return rows[0] if rows else None

    # The topics

    def send(self, *commands: object, key: bytes | None = None, partition: int | None = None) -> list[Any]:
        """Send commands (dicts, bytes, or None for a tombstone) in one go; return their places."""
        values = [json.dumps(it).encode() if isinstance(it, dict) else cast("bytes | None", it) for it in commands]
        futures = [self.wire.send(self.commands, value, key, partition) for value in values]
        return [future.get(timeout=20) for future in futures]

    def settle(self, seconds: float = 30.0) -> None:
        """Wait until every command was handled and everything that it caused was sent."""
        ends = {partition: end for partition, end in self.wire.ends(self.commands).items() if end}
        stored = "SELECT partition, next_offset FROM consumer_offsets WHERE topic = %s AND next_offset > 0"
        wait_for(lambda: dict(self.query(stored, (self.commands,))) == ends, f"commands up to {ends}", seconds)
        wait_for(lambda: not self.count("outbox"), "an empty outbox", seconds)
        wait_for(lambda: not self.count("dead_letters", "sent_at IS NULL"), "every dead letter sent", seconds)

    def ask(self, *commands: object, **place: Any) -> list[Row]:
        """Send the commands, wait until all is done, and return what they put on the events topic, in that order."""
        before = self.wire.ends(self.events)
        self.send(*commands, **place)
        self.settle()
        return [it for it in self.replies() if it["offset"] >= before.get(it["partition"], 0)]

    def replies(self) -> list[Row]:
        """Every record of the events topic, with its JSON as `body` and the payload of it as `payload`."""
        rows = self.wire.read(self.events)
        for row in rows:
            row["body"] = json.loads(row["value"])
            row["payload"] = row["body"]["payload"]
        return rows

    def dead_letters(self) -> list[Row]:
        return self.wire.read(self.letters)

    def create(self, saga_id: object = None, **fields: object) -> str:
        """Have a new order made; return its id."""
        (reply,) = self.ask(a_create(saga_id, **fields))
        return str(reply["payload"]["order_id"])

    def create_in(self, status: str, **fields: object) -> str:
        """Have a new order made that has the status; return its id."""
        order_id = self.create(**fields)
        if status != "PENDING":
            self.ask(an_update(order_id, status))
        return order_id


def service_of(app: Flask) -> KafkaService:
    return cast(KafkaService, app.extensions["kafka_service"])


# Builders of commands, as the orchestrators send them


def a_command(command_type: str, payload: object, **envelope: object) -> dict[str, Any]:
    body = {
        "type": command_type,
        "correlation_id": f"saga-{uuid.uuid4()}",
        "timestamp": "2026-11-22T10:00:00.123456",
        "payload": payload,
    }
    return _without_ellipsis(body | envelope)


def a_create(saga_id: object = None, **fields: object) -> dict[str, Any]:
    """A `create_order` whose correlation id is its saga id; `...` leaves a field out."""
    saga_id = f"saga-{uuid.uuid4()}" if saga_id is None else saga_id
    envelope = {name: fields.pop(name) for name in ("correlation_id", "timestamp") if name in fields}
    payload = {"customer_id": "customer-1", "order_details": details(), "saga_id": saga_id} | fields
    return a_command("create_order", _without_ellipsis(payload), **({"correlation_id": saga_id} | envelope))


def an_update(order_id: object, status: object, **fields: object) -> dict[str, Any]:
    return a_command("update_order_status", _without_ellipsis({"order_id": order_id, "status": status} | fields))


def a_cancel(order_id: object, **fields: object) -> dict[str, Any]:
    return a_command("cancel_order", _without_ellipsis({"order_id": order_id} | fields))


def details(**fields: object) -> dict[str, Any]:
    items = [{"name": "Burrito", "price": 8.5, "quantity": 2}]
    return _without_ellipsis({"foodItems": items, "deliveryLocation": "Warren Towers", "deliveryFee": 3.99} | fields)


def _without_ellipsis(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not ...}


def by_correlation(replies: Sequence[Row]) -> dict[str, Row]:
    """Index replies by correlation id; two of one id fail."""
    found = {row["body"]["correlation_id"]: row for row in replies}
    assert len(found) == len(replies)
    return found


@contextmanager
def raising_once(monkeypatch: Any, owner: object, name: str, error: Exception) -> Iterator[list[int]]:
    """Make `owner.name` raise at its first call only; yields a list that then has one element."""
    original = getattr(owner, name)
    calls: list[int] = []

    def once(*arguments: Any, **named: Any) -> Any:
        if not calls:
            calls.append(1)
            raise error
        return original(*arguments, **named)

    with monkeypatch.context() as patch:
        patch.setattr(owner, name, once)
        yield calls
