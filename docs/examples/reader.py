"""A reader of the events that keeps each order as it is, and one notice per change, in a small SQLite file.

    .venv/bin/python docs/examples/reader.py model.db             # read what the topic has, then follow it
    .venv/bin/python docs/examples/reader.py model.db --once      # read up to the present end, then stop
    .venv/bin/python docs/examples/reader.py model.db --rebuild   # begin anew with GET /orders, then follow

Kill it at any moment and start it again with the same file: it loses no record, and a record that comes twice does
nothing the second time. docs/readers.md says why. Where it reads stands in the file too, so a new file begins at the
oldest record, and a restored one where it was. One process works on one file.
"""

import argparse
import json
import os
import sqlite3
import sys
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from addresses import address
from calls import final_answer
from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError, OffsetOutOfRangeError

SERVICE = address("ORDER_SERVICE", "http://127.0.0.1:3000")
BROKERS = address("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:9092")
EVENTS = os.environ.get("KAFKA_EVENTS_TOPIC", "order_events")
KEY = os.environ.get("ORDER_SERVICE_KEY")  # where the service asks who calls; it needs the scope orders:read
PATIENCE_SECONDS = 180.0
PAGE = 1000
GONE = "order_not_found"

_TABLES = """
CREATE TABLE IF NOT EXISTS orders (order_id TEXT PRIMARY KEY, version INTEGER NOT NULL, body TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS known (event_id TEXT PRIMARY KEY, order_id TEXT, type TEXT, version INTEGER);
CREATE TABLE IF NOT EXISTS notices (event_id TEXT PRIMARY KEY, order_id TEXT NOT NULL, type TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS positions (number INTEGER PRIMARY KEY, next INTEGER NOT NULL);
"""
_NEWEST = """
INSERT INTO orders VALUES (?, ?, ?) ON CONFLICT (order_id)
DO UPDATE SET version = excluded.version, body = excluded.body WHERE excluded.version > orders.version
"""
_IS_KNOWN = """
SELECT 1 FROM known WHERE event_id = ? OR (order_id = ? AND type = 'ORDER_FORGOTTEN' AND version >= ?)
"""


class Change(NamedTuple):
    """What the key and the headers of a record say."""

    event_id: str
    order_id: str
    type: str
    version: int


class Model:
    """The file: the newest known state of each order, what was told of it, and how far the topic was read."""

    def __init__(self, path: str) -> None:
        self.database = sqlite3.connect(path)
        self.database.executescript(_TABLES)

    def positions(self) -> dict[int, int]:
        """Return where to read on, by partition."""
        return dict(self.database.execute("SELECT number, next FROM positions"))

    def knows(self, change: Change) -> bool:
        """Tell whether it was taken up, or is from before the order's person was forgotten."""
        asked = (change.event_id, change.order_id, change.version)
        return self.database.execute(_IS_KNOWN, asked).fetchone() is not None

    def keep(self, record: Any, change: Change, order: Mapping[str, Any] | None) -> None:
        """Take a change up. `order` is the order at the change or later, None if it is gone."""
        with self.database:  # all of it or nothing, the position included
            self.database.execute("INSERT INTO known VALUES (?, ?, ?, ?)", change)
            if change.type == "ORDER_FORGOTTEN":  # nobody is told, and what was told is deleted
                self.database.execute("DELETE FROM notices WHERE order_id = ?", (change.order_id,))
            else:
                self.database.execute("INSERT OR IGNORE INTO notices VALUES (?, ?, ?)", change[:3])
            if order is not None:
                self.database.execute(_NEWEST, (change.order_id, order["version"], json.dumps(order)))
            self._move(record.partition, record.offset + 1)

    def pass_over(self, record: Any) -> None:
        """Remember only that the record was read."""
        with self.database:
            self._move(record.partition, record.offset + 1)

    def replace(self, orders: Iterator[Mapping[str, Any]], ends: Mapping[Any, int]) -> None:
        """Have exactly these orders from now on, and read on at these ends. The notices stay."""
        with self.database:
            self.database.execute("DELETE FROM orders")
            self.database.execute("UPDATE known SET version = 0")  # after a restore versions are given a second time
            for order in orders:
                self.database.execute(_NEWEST, (order["orderId"], order["version"], json.dumps(order)))
            for place, end in ends.items():
                self._move(place.partition, end)

    def _move(self, number: int, position: int) -> None:
        self.database.execute("INSERT OR REPLACE INTO positions VALUES (?, ?)", (number, position))


def take(model: Model, record: Any) -> None:
    """Keep the change that a record announces. Raises TimeoutError if the service has to be asked, and is away."""
    change = change_of(record)
    if change is None or model.knows(change):
        model.pass_over(record)
        return
    text = json.loads(record.value)["payload"].get("event")
    order = json.loads(text) if text else get(f"/getOrderDetails?orderId={urllib.parse.quote(change.order_id)}")
    line = f"{record.partition}/{record.offset} {change.type}"
    say(f"{line}: not in the model yet")
    model.keep(record, change, order)
    say(f"{line}: in the model")


def change_of(record: Any) -> Change | None:
    """Return the change, None for a reply that tells of no change and for a record of another kind."""
    headers = dict(record.headers)
    if "version" not in headers:
        return None
    event_id, event_type, version = (headers[name].decode() for name in ("event_id", "type", "version"))
    return Change(event_id, record.key.decode(), event_type, int(version))


def follow(consumer: Any, model: Model, *, once: bool) -> None:
    """Read without end, or `once` up to the ends that the partitions have now."""
    ends = consumer.end_offsets(assign(consumer, model))
    while not once or any(consumer.position(place) < end for place, end in ends.items()):
        assign(consumer, model)
        for records in consumer.poll(timeout_ms=200).values():
            for record in records:
                take(model, record)


def assign(consumer: Any, model: Model) -> set[Any]:
    """Return all partitions that there are now. One that is new is read from where the model stands in it."""
    places = partitions(consumer)
    new = places - consumer.assignment()
    if new:
        consumer.assign(sorted(places))  # the others stay where they are
        positions = model.positions()
        for place in new:
            if place.partition in positions:
                consumer.seek(place, positions[place.partition])
            else:
                consumer.seek_to_beginning(place)
    return places


def partitions(consumer: Any) -> set[Any]:
    """Return the partitions of the topic."""
    places = {TopicPartition(EVENTS, number) for number in consumer.partitions_for_topic(EVENTS)}
    if not places:
        raise TimeoutError(f"{EVENTS} has no partition yet; start me again later")
    return places


def rebuild(consumer: Any, model: Model) -> None:
    """Begin anew: the ends first, then all orders, then on from these ends. After a crash, begin it again."""
    ends = consumer.end_offsets(partitions(consumer))
    model.replace(all_orders(), ends)
    say("the model is built")


def all_orders() -> Iterator[Mapping[str, Any]]:
    """Yield all orders, newest first. A new one pushes others to later pages: they come twice, none is missed."""
    number = 1
    while page := get(f"/orders?limit={PAGE}&page={number}")["items"]:
        yield from page
        number += 1


def get(path: str) -> Any:
    """Return the answer, None where there is no such order. Raises TimeoutError after PATIENCE_SECONDS."""
    request = urllib.request.Request(SERVICE + path, headers={"Authorization": f"Bearer {KEY}"} if KEY else {})
    try:
        answer = final_answer(
            request, PATIENCE_SECONDS, lambda status, answer: status == 200 or answer.get("code") == GONE
        )
    except TimeoutError as last:
        raise TimeoutError(f"{path}: {last}; start me again later") from None
    return None if answer.get("code") == GONE else answer


def say(line: str) -> None:
    """Print a line at once."""
    print(line, flush=True)


def main(arguments: list[str] | None = None) -> None:
    """Read as the arguments say."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="the file; it is made where it is not there yet")
    parser.add_argument("--once", action="store_true", help="stop at the present end")
    parser.add_argument("--rebuild", action="store_true", help="begin anew with GET /orders")
    given = parser.parse_args(arguments)
    model = Model(given.model)
    try:
        # In no group: the file says where to read. Without a reset, records that are gone are noticed.
        consumer = KafkaConsumer(bootstrap_servers=BROKERS, auto_offset_reset="none", metadata_max_age_ms=10_000)
        if given.rebuild:
            rebuild(consumer, model)
        follow(consumer, model, once=given.once)
    except OffsetOutOfRangeError:
        sys.exit("the records behind the file's position are gone from the topic: start me once with --rebuild")
    except (TimeoutError, KafkaError, KeyboardInterrupt) as error:
        sys.exit(str(error) or repr(error))


if __name__ == "__main__":
    main()
