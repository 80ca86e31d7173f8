"""Records that kafka-python cannot decode, or that unpack to more than anybody should hold [K10]."""

import hashlib
import json
from contextlib import closing
from typing import Any

import pytest
from kafka import KafkaProducer
from kafka.record.default_records import DefaultRecordBatchBuilder

from tests.harness.world import World, a_create, by_correlation, wait_for
from tools.stack.broker import Broker

MIB = 1024 * 1024


class RawName(str):
    """A header's name as other clients can send it: any bytes."""

    __slots__ = ()

    def encode(self, *_: object) -> bytes:
        return b"\xff\xfe"


def test_a_header_name_that_is_not_utf8_stops_nobody(running: World) -> None:
    """[K10] The command is handled like any other."""
    commands = [a_create() for _ in range(12)]
    for place, command in enumerate(commands):
        headers = [(RawName("x"), b"v")] if place % 4 == 1 else []
        value = json.dumps(command).encode()
        running.wire.producer.send(running.commands, value, headers=headers, partition=place % 3).get(timeout=20)
    running.settle()
    assert set(by_correlation(running.replies())) == {it["correlation_id"] for it in commands}
    assert running.dead_letters() == []


def test_a_batch_that_the_disk_damaged_is_a_dead_letter_and_the_next_are_handled(world: World, broker: Broker) -> None:
    """[K10]"""
    first, damaged, behind = a_create(), a_create(), [a_create() for _ in range(5)]
    for command in (first, damaged, *behind):
        world.send(command, partition=0)
    (log,) = (broker.folder / "data").glob(f"{world.commands}-0/*.log")
    data = log.read_bytes()
    place = data.index(damaged["correlation_id"].encode())
    with log.open("r+b") as file:
        file.seek(place)
        file.write(b"X")
    world.start()
    world.send(*[a_create() for _ in range(3)], partition=1)
    world.settle()
    replies = by_correlation(world.replies())
    assert {it["correlation_id"] for it in (first, *behind)} <= set(replies)
    assert len(replies) == 9
    (letter,) = world.dead_letters()
    assert letter["headers"]["error"] == "The client cannot decode the batch at offset 1: it has a wrong checksum"
    assert letter["headers"]["original_offset"] == "1"
    assert b"create_order" in letter["value"]
    assert "wrong checksum" in wait_for(lambda: world.alarm("record_unread_0_1"), "the alarm")


@pytest.mark.parametrize("beyond", [17, -3])
def test_a_record_with_an_offset_of_its_neighbours_is_a_dead_letter_alone(
    running: World, monkeypatch: pytest.MonkeyPatch, beyond: int
) -> None:
    """[K10] Brokers do not check a record's own offset. Believed, it could skip the commands up to it."""
    append = DefaultRecordBatchBuilder.append

    def lie(builder: DefaultRecordBatchBuilder, offset: int, *arguments: Any, **named: Any) -> Any:
        appended = append(builder, offset + beyond, *arguments, **named)
        builder._last_offset = offset
        return appended

    before, lying, behind = a_create(), a_create(), [a_create() for _ in range(20)]
    running.send(before, partition=0)
    with monkeypatch.context() as patch:
        patch.setattr(DefaultRecordBatchBuilder, "append", lie)
        running.send(lying, partition=0)
    for command in behind:
        running.send(command, partition=0)
    running.settle()
    assert set(by_correlation(running.replies())) == {it["correlation_id"] for it in (before, *behind)}
    (letter,) = running.dead_letters()
    assert json.loads(letter["value"]) == lying
    assert letter["headers"]["original_offset"] == "1"


def test_a_record_that_unpacks_to_megabytes_leaves_its_beginning_and_hash(running: World, broker: Broker) -> None:
    """[K10]"""
    large, good = b"a" * 20 * MIB, a_create()
    settings: dict[str, Any] = {"compression_type": "gzip", "max_request_size": 30 * MIB, "linger_ms": 200}
    with closing(KafkaProducer(bootstrap_servers=broker.bootstrap, **settings)) as producer:
        for value in (large, json.dumps(good).encode()):
            producer.send(running.commands, value, key=b"key", partition=0)
        producer.flush(timeout=30)
    running.settle()
    assert set(by_correlation(running.replies())) == {good["correlation_id"]}
    (letter,) = running.dead_letters()
    assert (letter["key"], letter["value"]) == (b"key", large[: 64 * 1024])
    headers = letter["headers"]
    assert (headers["truncated"], headers["original_length"]) == ("true", str(len(large)))
    assert headers["original_sha256"] == hashlib.sha256(large).hexdigest()


def test_up_to_a_megabyte_a_record_is_kept_whole(untouched: World) -> None:
    """[K10]"""
    untouched.start()
    wait_for(lambda: untouched.commands in untouched.wire.admin.list_topics(), "the topics")
    value = b"b" * (MIB - 100)
    untouched.send(value, partition=0)
    untouched.settle()
    (letter,) = untouched.dead_letters()
    assert letter["value"] == value
    assert "truncated" not in letter["headers"]
