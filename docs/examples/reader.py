"""A reader of the events that keeps each order as it is, and one notice per change, in a small SQLite file.

    .venv/bin/python docs/examples/reader.py model.db             # read what the topic has, then follow it
    .venv/bin/python docs/examples/reader.py model.db --once      # read up to the present end, then stop
    .venv/bin/python docs/examples/reader.py model.db --rebuild   # begin anew with GET /orders, then follow

Kill it at any moment and start it again with the same file: it loses no record, and a record that comes twice does
nothing the second time. docs/readers.md says why. One process works on one file.
"""

import argparse
import json
import os
import sqlite3
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from typing import Any

from addresses import address
from kafka import KafkaConsumer, TopicPartition

SERVICE = address("ORDER_SERVICE", "http://127.0.0.1:3000")
BROKERS = address("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:9092")
EVENTS = os.environ.get("KAFKA_EVENTS_TOPIC", "order_events")
GROUP = os.environ.get("READER_GROUP", "example-reader")
KEY = os.environ.get("ORDER_SERVICE_KEY")  # where the service asks who calls; it needs the scope orders:read
PATIENCE_SECONDS = 180.0
PAGE = 100

_TABLES = """
CREATE TABLE IF NOT EXISTS orders (order_id TEXT PRIMARY KEY, version INTEGER NOT NULL, body TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS notices (event_id TEXT PRIMARY KEY, order_id TEXT NOT NULL, type TEXT NOT NULL);
"""
_NEWEST = """
INSERT INTO orders VALUES (?, ?, ?) ON CONFLICT (order_id)
DO UPDATE SET version = excluded.version, body = excluded.body WHERE excluded.version > orders.version
"""


class Model:
    """The file: the newest known state of each order, and what was told of it. Each method commits."""

    def __init__(self, path: str) -> None:
        self.database = sqlite3.connect(path)
        self.database.executescript(_TABLES)

    def keep(self, event_id: str, order_id: str, event_type: str, order: Mapping[str, Any] | None) -> None:
        """Take a change up, unless it is known. `order` is the order at the change or later, None if it is gone."""
        with self.database:
            known = self.database.execute("SELECT 1 FROM notices WHERE event_id = ?", (event_id,)).fetchone()
            if known:
                return
            if event_type == "ORDER_FORGOTTEN":  # nobody is told, and what was told is deleted
                self.database.execute("DELETE FROM notices WHERE order_id = ?", (order_id,))
            self.database.execute("INSERT INTO notices VALUES (?, ?, ?)", (event_id, order_id, event_type))
            if order is not None:
                self.database.execute(_NEWEST, (order_id, order["version"], json.dumps(order)))

    def replace(self, orders: Iterator[Mapping[str, Any]]) -> None:
        """Have exactly these orders from now on; the notices stay."""
        with self.database:
            self.database.execute("DELETE FROM orders")
            for order in orders:
                self.database.execute(_NEWEST, (order["orderId"], order["version"], json.dumps(order)))


def take(model: Model, record: Any) -> None:
    """Keep the change that a record announces. Raises TimeoutError if the service has to be asked, and is away."""
    headers = dict(record.headers)
    if "version" not in headers:  # a reply that tells of no change, or a record of another kind
        return
    order_id, event_id, event_type = record.key.decode(), headers["event_id"].decode(), headers["type"].decode()
    text = json.loads(record.value)["payload"].get("event")
    order = json.loads(text) if text else get(f"/getOrderDetails?orderId={urllib.parse.quote(order_id)}")
    model.keep(event_id, order_id, event_type, order)
    say(f"{record.partition}/{record.offset} {event_type}: in the model, not committed")


def follow(consumer: Any, model: Model, *, once: bool) -> None:
    """Read without end, or `once` up to the ends that the partitions have now."""
    places = [TopicPartition(EVENTS, number) for number in consumer.partitions_for_topic(EVENTS)]
    ends = consumer.end_offsets(places)
    while not once or not _has_read(consumer, ends):
        polled = consumer.poll(timeout_ms=200)
        for records in polled.values():
            for record in records:
                take(model, record)
        if polled:
            consumer.commit()  # after the model has all of it
            say("committed")


def _has_read(consumer: Any, ends: Mapping[Any, int]) -> bool:
    return consumer.assignment() >= ends.keys() and all(consumer.position(place) >= end for place, end in ends.items())


def rebuild(consumer: Any, model: Model) -> None:
    """Begin anew: the ends first, then all orders, then on from these ends. After a crash, begin it again."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not consumer.assignment():
        if time.monotonic() > deadline:
            raise TimeoutError("the group gives this reader no partition; start me again later")
        consumer.poll(timeout_ms=200)
    ends = consumer.end_offsets(consumer.assignment())
    model.replace(all_orders())
    say("the model is built")
    for place, end in ends.items():
        consumer.seek(place, end)
    consumer.commit()


def all_orders() -> Iterator[Mapping[str, Any]]:
    """Yield all orders, newest first. A new one pushes others to later pages: they come twice, none is missed."""
    number = 1
    while page := get(f"/orders?limit={PAGE}&page={number}")["items"]:
        yield from page
        number += 1


def get(path: str) -> Any:
    """Return the answer, None where there is no such order. Raises TimeoutError after PATIENCE_SECONDS."""
    request = urllib.request.Request(SERVICE + path, headers={"Authorization": f"Bearer {KEY}"} if KEY else {})
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        pause = 0.5
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return None
            pause, last = float(error.headers.get("Retry-After", pause)), str(error)
        except OSError as error:
            last = str(error)
        if time.monotonic() + pause > deadline:
            raise TimeoutError(f"{path}: {last}; start me again later")
        time.sleep(pause)


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
    # A name of its own within the group: a reader that comes back under it takes its partitions at once.
    consumer = KafkaConsumer(
        EVENTS,
        bootstrap_servers=BROKERS,
        group_id=GROUP,
        group_instance_id="1",
        enable_auto_commit=False,
        auto_offset_reset="earliest",
    )
    try:
        if given.rebuild:
            rebuild(consumer, model)
        follow(consumer, model, once=given.once)
    except (TimeoutError, KeyboardInterrupt) as error:
        sys.exit(str(error))
    finally:
        consumer.close()


if __name__ == "__main__":
    main()
