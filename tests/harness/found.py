"""What is there when all is quiet: the tables and the topics, read to their ends, as plain values for the checker."""

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg2
from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError

from app.kafka.quirks.records import get_past_any_record
from tests.harness.stack import Stack

_READ_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Row:
    """An order as its row has it."""

    order_id: str
    status: str
    payment_status: str
    runner_id: str | None
    version: int
    saga_id: str | None


@dataclass(frozen=True, slots=True)
class Line:
    """A line of an order's history."""

    order_id: str
    version: int
    change_id: str
    kind: str
    from_status: str | None
    to_status: str
    runner_id: str | None
    door: str
    correlation_id: str


@dataclass(frozen=True, slots=True)
class Record:
    """A record of a topic. `timestamp`: milliseconds since 1970, on the events topic when the broker appended it."""

    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()
    timestamp: int = 0

    @property
    def body(self) -> dict[str, Any]:
        """The value as JSON."""
        decoded: dict[str, Any] = json.loads(self.value or b"{}")
        return decoded

    @property
    def sent_at(self) -> float:
        """The envelope's own time, in seconds since 1970."""
        return datetime.fromisoformat(self.body["timestamp"]).timestamp()

    def header(self, name: str) -> str | None:
        """Return the text of a header."""
        return next((value.decode() for header, value in self.headers if header == name), None)


@dataclass(frozen=True, slots=True)
class Found:
    """Everything that the checker holds against the history."""

    rows: Sequence[Row] = ()
    lines: Sequence[Line] = ()
    outbox: int = 0
    unsent_dead_letters: int = 0
    commands: Sequence[Record] = ()
    events: Sequence[Record] = ()
    dead_letters: Sequence[Record] = ()


def find(stack: Stack) -> Found:
    """Read everything. Blocks for the reading; raises psycopg2's and Kafka's errors."""
    rows = query(
        stack.database_url, "SELECT order_id, order_status, payment_status, runner_id, version, saga_id FROM orders"
    )
    lines = query(
        stack.database_url,
        "SELECT order_id, version, change_id::text, kind, from_status, to_status, runner_id, door, correlation_id "
        "FROM order_changes ORDER BY order_id, version",
    )
    outbox, letters = unsent(stack.database_url)
    return Found(
        [Row(*row) for row in rows],
        [Line(*line) for line in lines],
        outbox,
        letters,
        read_topic(stack.broker.bootstrap, stack.commands_topic),
        read_topic(stack.broker.bootstrap, stack.events_topic),
        read_topic(stack.broker.bootstrap, stack.dead_letter_topic),
    )


def query(url: str, statement: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
    """Run one statement on a connection of its own and return its rows."""
    connection = psycopg2.connect(url, connect_timeout=5)
    try:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(statement, parameters)
            return [] if cursor.description is None else cursor.fetchall()  # it is empty without columns
    finally:
        connection.close()


@contextmanager
def row_locked(url: str, order_id: str) -> Iterator[None]:
    """Somebody else's transaction holds the order's row while the body runs."""
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT 1 FROM orders WHERE order_id = %s FOR UPDATE", (order_id,))
        yield
        connection.rollback()


def unsent(url: str) -> tuple[int, int]:
    """Return how many events and dead letters wait to be sent."""
    events, letters = query(
        url, "SELECT (SELECT count(*) FROM outbox), (SELECT count(*) FROM dead_letters WHERE sent_at IS NULL)"
    )[0]
    return events, letters


def read_topic(bootstrap: str, topic: str) -> list[Record]:
    """Return all records of a topic, each partition in the order of its offsets."""
    with KafkaConsumer(bootstrap_servers=bootstrap, enable_auto_commit=False, auto_offset_reset="earliest") as reader:
        get_past_any_record(reader)
        places = [TopicPartition(topic, partition) for partition in sorted(reader.partitions_for_topic(topic) or ())]
        unread = {place: end for place, end in reader.end_offsets(places).items() if end > 0}
        reader.assign(list(unread))
        records: list[Record] = []
        give_up = time.monotonic() + _READ_SECONDS
        while unread:
            if time.monotonic() > give_up:
                raise TimeoutError(f"{topic} could not be read to its end")
            for place, polled in reader.poll(timeout_ms=200).items():
                records += [
                    Record(place.partition, it.offset, it.key, it.value, tuple(it.headers), it.timestamp)
                    for it in polled
                ]
            unread = {place: end for place, end in unread.items() if reader.position(place) < end}
        return records


def commands_behind(stack: Stack) -> int:
    """Return how many commands in the log are not handled yet."""
    with KafkaConsumer(bootstrap_servers=stack.broker.bootstrap, enable_auto_commit=False) as reader:
        topic = stack.commands_topic
        places = [TopicPartition(topic, partition) for partition in reader.partitions_for_topic(topic) or ()]
        end = sum(reader.end_offsets(places).values())
    handled = query(
        stack.database_url, "SELECT coalesce(sum(next_offset), 0) FROM consumer_offsets WHERE topic = %s", (topic,)
    )
    return int(end - handled[0][0])


def await_quiet(stack: Stack, seconds: float) -> float:
    """Block until every command is handled and every event sent; return the seconds it took.

    Raises TimeoutError with what is left after `seconds`.
    """
    started = time.monotonic()
    while True:
        left = _left(stack)
        took = time.monotonic() - started
        if left is None:
            return took
        if took > seconds:
            raise TimeoutError(f"not quiet after {seconds:.0f} s: {left}")
        time.sleep(0.1)


def _left(stack: Stack) -> str | None:
    """Return what is still to be done, None when all is quiet."""
    try:
        behind = commands_behind(stack)
    except KafkaError as error:
        return f"the broker does not answer: {type(error).__name__}"
    events, letters = unsent(stack.database_url)
    if not behind and not events and not letters:
        return None
    return f"{behind} commands, {events} events, {letters} dead letters left"
