"""docs/examples/reader.py as it stands there: killed at every line that it prints, among copies and foreign records."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaAdminClient, KafkaProducer, TopicPartition

from tests.callers.examples import LIVES, READER, run
from tests.callers.http import call, new_order, post
from tests.callers.saga import a_create, command
from tests.harness.found import Record, await_quiet, read_topic
from tests.harness.stack import Stack

FORGOTTEN = Path(__file__).parents[1] / "contract" / "examples" / "events" / "ORDER_FORGOTTEN.json"


@pytest.fixture
def producer(stack: Stack) -> Iterator[Any]:
    with closing(KafkaProducer(bootstrap_servers=stack.broker.bootstrap)) as made:
        yield made


def model_of(path: Path) -> dict[str, dict[str, Any]]:
    with closing(sqlite3.connect(path)) as database:
        return {order_id: json.loads(body) for order_id, body in database.execute("SELECT order_id, body FROM orders")}


def notices_of(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as database:
        return [event_id for (event_id,) in database.execute("SELECT event_id FROM notices")]


def orders_of(stack: Stack) -> dict[str, dict[str, Any]]:
    """The truth."""
    items = call("GET", f"{stack.instances[0].url}/orders?limit=1000").body["items"]
    return {order["orderId"]: order for order in items}


def announced(stack: Stack) -> list[Record]:
    """Everything that the topic has, once nothing is under way."""
    await_quiet(stack, 20)
    return read_topic(stack.broker.bootstrap, stack.events_topic)


def work(stack: Stack, producer: Any) -> None:
    """Changes over both doors, a command that changes nothing and one that is refused."""
    url = stack.instances[0].url
    accepted = new_order(url)
    post(f"{url}/verifyAndAcceptOrder", {"orderId": accepted, "runner_id": "runner-1"})
    commands = [a_create("saga-1"), command("cancel_order", "lost", order_id="unknown"), a_create("saga-1")]
    for sent in commands:
        producer.send(stack.commands_topic, json.dumps(sent).encode(), key=b"saga-1").get(30)


def again(stack: Stack, producer: Any, record: Record) -> None:
    """Send a record once more."""
    headers = list(record.headers)
    producer.send(stack.events_topic, record.value, record.key, headers, partition=record.partition).get(30)


def test_a_reader_that_is_killed_at_each_line_knows_every_order_and_told_each_change_once(
    stack: Stack, producer: Any, tmp_path: Path
) -> None:
    """[K2] [K3] [K13]"""
    stack.start(1)
    work(stack, producer)
    records = announced(stack)
    changes = [record for record in records if record.header("version")]
    assert len(records) == len(changes) + 2
    for record in (changes[0], *changes):  # copies, now behind younger versions
        again(stack, producer, record)
    unknown = {"type": "ORDER_PAINTED", "payload": {"colour": "red"}}
    producer.send(stack.events_topic, json.dumps(unknown).encode(), b"nothing", [("type", b"ORDER_PAINTED")]).get(30)
    model = tmp_path / "model.db"
    lines = run(stack, LIVES, READER, model, "--once")
    assert len(lines) == 2 * len(changes)
    assert model_of(model) == orders_of(stack)
    assert sorted(notices_of(model)) == sorted(record.body["event_id"] for record in changes)


def test_a_model_that_is_wrong_is_built_anew_and_a_forgotten_person_leaves_it(
    stack: Stack, producer: Any, tmp_path: Path
) -> None:
    """[K15] As after a restore: the copy is newer than the truth, and has an order that is gone."""
    stack.start(1)
    url, path = stack.instances[0].url, tmp_path / "model.db"
    order_id = new_order(url)
    announced(stack)
    run(stack, READER, path, "--once")
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("UPDATE orders SET version = 999, body = '{}'")
        database.execute("INSERT INTO orders VALUES ('gone', 3, '{}')")
    run(stack, READER, path, "--rebuild", "--once")
    assert model_of(path) == orders_of(stack)
    assert post(f"{url}/cancelOrder", {"orderId": order_id}).status == 200
    announced(stack)
    run(stack, READER, path, "--once")
    assert model_of(path) == orders_of(stack)
    assert model_of(path)[order_id]["orderStatus"] == "CANCELLED"
    forgotten = json.loads(FORGOTTEN.read_text().replace("<order_id>", order_id))
    forgotten["event_id"] = "one-more"
    headers = [("event_id", b"one-more"), ("type", b"ORDER_FORGOTTEN"), ("version", b"5")]
    producer.send(stack.events_topic, json.dumps(forgotten).encode(), order_id.encode(), headers).get(30)
    run(stack, READER, path, "--once")
    assert model_of(path)[order_id]["custId"].startswith("forgotten-")
    assert notices_of(path) == []


def test_a_restored_model_whose_records_are_gone_says_so_and_new_partitions_are_read(
    stack: Stack, producer: Any, tmp_path: Path
) -> None:
    """[K2]"""
    stack.start(1)
    url, path = stack.instances[0].url, tmp_path / "model.db"
    new_order(url)
    records = announced(stack)
    run(stack, READER, path, "--once")
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("UPDATE positions SET next = 0")
    with KafkaAdminClient(bootstrap_servers=stack.broker.bootstrap) as admin:
        gone = TopicPartition(stack.events_topic, records[-1].partition)
        admin.delete_records({gone: records[-1].offset})
        with pytest.raises(AssertionError, match="start me once with --rebuild"):
            run(stack, READER, path, "--once")
        run(stack, READER, path, "--rebuild", "--once")
        assert model_of(path) == orders_of(stack)
        admin.create_partitions({stack.events_topic: 5})
    made = {new_order(url) for _ in range(5)}
    announced(stack)
    run(stack, READER, path, "--once")
    assert model_of(path).keys() >= made
    assert model_of(path) == orders_of(stack)
