"""The records that leave: topics, envelope, headers, keys, partitions, versions, compression [K1-K3, K13, K14]."""

import json
import struct
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

from kafka.admin import ConfigResource
from kafka.partitioner.default import murmur2

from tests.harness.world import World, a_cancel, a_create, an_update, by_correlation, details, wait_for
from tools.stack.broker import Broker

COMPRESSION, TRANSACTIONAL, CONTROL = 0x07, 0x10, 0x20


def configs_of(world: World, topic: str) -> dict[str, str]:
    described = world.wire.admin.describe_configs([ConfigResource("TOPIC", topic)])
    return {name: str(value["value"]) for name, value in described["topic"][topic].items()}


def record_batches(folder: Path) -> Iterator[tuple[int, bytes]]:
    """Attributes and records of every batch in a partition's log, as the broker keeps them."""
    for segment in sorted(folder.glob("*.log")):
        data = segment.read_bytes()
        while len(data) > 61:
            length = struct.unpack(">i", data[8:12])[0]
            if length <= 0:
                break
            yield struct.unpack(">h", data[21:23])[0], data[61 : 12 + length]
            data = data[12 + length :]


def test_missing_topics_are_made_with_three_partitions(untouched: World) -> None:
    """[K1]"""
    untouched.start()
    topics = {untouched.commands, untouched.events, untouched.letters}
    wait_for(lambda: topics <= set(untouched.wire.admin.list_topics()), "the topics")
    made = untouched.wire.admin.describe_topics(sorted(topics))
    assert {topic["name"]: len(topic["partitions"]) for topic in made} == dict.fromkeys(topics, 3)
    (reply,) = untouched.ask(a_create())
    assert reply["body"]["type"] == "order.created"


def test_the_dead_letter_topic_is_made_for_larger_records(untouched: World) -> None:
    """A dead letter is as large as somebody else's record. [K10]"""
    untouched.start()
    wait_for(lambda: untouched.letters in untouched.wire.admin.list_topics(), "the topic")
    assert int(configs_of(untouched, untouched.letters)["max.message.bytes"]) == 16 * 1024 * 1024


def test_topics_that_are_there_stay_as_they_are(untouched: World) -> None:
    """[K1]"""
    for topic in (untouched.commands, untouched.events, untouched.letters):
        untouched.wire.create_topics(topic, partitions=1)
    untouched.start()
    assert untouched.ask(a_create(), a_create())[1]["partition"] == 0
    assert len(untouched.wire.places(untouched.events)) == 1


def test_a_reply_has_envelope_and_headers_of_the_contract(running: World) -> None:
    """[K2]"""
    (row,) = running.ask(a_create("saga-7"))
    body = row["body"]
    assert list(body) == ["type", "correlation_id", "timestamp", "payload", "source", "event_id"]
    assert (body["type"], body["correlation_id"], body["source"]) == ("order.created", "saga-7", "order-service")
    assert body["payload"]["correlation_id"] == "saga-7"
    assert datetime.fromisoformat(body["timestamp"]).utcoffset() == timedelta(0)
    headers = {"event_id": body["event_id"], "type": "order.created", "correlation_id": "saga-7", "version": "1"}
    assert row["headers"] == headers


def test_every_record_lies_where_the_default_partitioner_puts_its_key(running: World) -> None:
    """[K2]"""
    rows = running.ask(*[a_create() for _ in range(30)])
    assert {row["partition"] for row in rows} == {0, 1, 2}
    for row in rows:
        assert row["key"].decode() == row["payload"]["order_id"]
        assert row["partition"] == (murmur2(row["key"]) & 0x7FFFFFFF) % 3


def test_the_key_is_the_order_that_was_named_known_or_not(running: World) -> None:
    """[K2] [K7]"""
    commands = [an_update("nobody", "PLACED"), an_update(..., "PLACED"), a_cancel("x" * 256), a_create(customer_id=...)]
    replies = by_correlation(running.ask(*commands))
    keys = [replies[it["correlation_id"]]["key"].decode() for it in commands]
    assert keys == ["nobody", *(it["correlation_id"] for it in commands[1:])]


def test_only_changes_carry_a_version_in_payload_and_header(running: World) -> None:
    """[K3]"""
    order_id = running.create()
    (changed,) = running.ask(an_update(order_id, "CREATED"))
    assert (changed["payload"]["version"], changed["headers"]["version"]) == (2, "2")
    others = running.ask(an_update(order_id, "CREATED"), a_cancel("nobody"), an_update(order_id, "NONE"))
    assert len(others) == 3
    for row in others:
        assert "version" not in row["payload"]
        assert "version" not in row["headers"]


def test_the_versions_of_an_order_are_gapless_and_in_order(running: World) -> None:
    """[K3]"""
    order_id = running.create()
    path = ["CREATED", "CREATED", "ACCEPTED", "NONE", "PLACED", "ON_THE_WAY", "PLACED", "DELIVERED", "COMPLETED"]
    running.ask(*[an_update(order_id, status) for status in path], key=b"same partition")
    mine = [row for row in running.replies() if row["key"] == order_id.encode()]
    assert len({row["partition"] for row in mine}) == 1
    assert [row["payload"]["version"] for row in mine if "version" in row["payload"]] == list(range(1, 9))


def test_event_ids_are_unique_over_both_doors_and_in_header_and_body(running: World) -> None:
    """[K13]"""
    client = running.apps[0].test_client()
    for _ in range(5):
        client.post("/createOrder", json={"customer_id": "c", "order_details": details()})
    running.ask(*[a_create(f"saga-{number // 2}", customer_id=f"c{number}") for number in range(20)])
    rows = running.replies()
    assert len({row["body"]["event_id"] for row in rows}) == len(rows) == 25
    assert all(row["headers"]["event_id"] == row["body"]["event_id"] for row in rows)


def test_the_topic_holds_plain_or_gzip_batches_without_transactions(running: World, broker: Broker) -> None:
    """[K14]"""
    running.ask(*[a_create() for _ in range(20)], an_update("nobody", "PLACED"), b"garbage")
    folders = sorted((broker.folder / "data").glob(f"{running.events}-*"))
    batches = [batch for folder in folders for batch in record_batches(folder)]
    assert len(folders) == 3
    assert batches
    for attributes, _ in batches:
        assert attributes & COMPRESSION in (0, 1)
        assert not attributes & (TRANSACTIONAL | CONTROL)


def test_every_record_is_a_json_object_in_utf8_and_none_is_a_tombstone(running: World) -> None:
    """[K14]"""
    commands = [a_create(customer_id="Zoë 🍔"), a_cancel("nobody"), b"garbage", None, a_create("s", customer_id=...)]
    running.ask(*commands, key=b"k")
    rows = running.wire.read(running.events)
    assert len(rows) == 3
    assert all(isinstance(json.loads(row["value"].decode("utf-8")), dict) for row in rows)
    assert any("Zoë 🍔".encode() in row["value"] for row in rows)
