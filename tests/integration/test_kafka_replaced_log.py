"""What the stored offset stands behind, on a real broker: a replaced log is told from the one handled [K11]."""

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from kafka import KafkaConsumer, KafkaProducer, TopicPartition

from app.kafka import command_looks, command_topic
from app.kafka.command_ports import PartitionAway
from app.models.records import Checkpoint, digest
from app.services import consumer_thread
from tests.harness.world import World, by_correlation, patiently, wait_for
from tests.integration.test_kafka_offsets import alarms, creates, ids, stored

OTHER = "UPDATE consumer_checkpoints SET hash = '' WHERE topic = %s AND partition = 0 AND \"offset\" >= %s"
TRAIL = 'SELECT "offset" FROM consumer_checkpoints WHERE topic = %s AND partition = 0 ORDER BY 1'


@pytest.fixture(autouse=True)
def looks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consumer_thread, "RECHECK_SECONDS", 0.2)


@pytest.fixture
def consumer(world: World) -> Iterator[KafkaConsumer]:
    """As the service has one, with every partition."""
    with command_topic.open_commands(world.settings()) as made:
        wait_for(lambda: made.poll() or made.assigned(), "the assignment")
        yield made._consumer


def trail(world: World) -> list[int]:
    return [row[0] for row in world.query(TRAIL, (world.commands,))]


def test_a_log_that_is_another_one_is_handled_again_from_where_the_two_part(running: World) -> None:
    first, second = creates(2), creates(3)
    running.ask(*first, partition=0)
    wait_for(lambda: trail(running) == [1], "the first checkpoint")
    running.ask(*second, partition=0)
    wait_for(lambda: 4 in trail(running), "the second")
    running.stop()
    running.query(OTHER, (running.commands, 2))  # as if the log had had other records there
    running.query("UPDATE consumer_offsets SET last_hash = '' WHERE topic = %s AND partition = 0", (running.commands,))
    running.start()
    sentence = wait_for(lambda: alarms(running).get("log_replaced_0_5"), "the alarm")
    assert "The commands that were there from 2 on are gone" in sentence
    wait_for(lambda: stored(running) == 5, "the way back to the end")
    running.settle()
    assert set(by_correlation(running.replies())) == ids(first + second)
    assert running.count("orders") == 5


def test_the_service_at_work_sees_that_the_log_was_replaced(running: World) -> None:
    commands = creates(3)
    running.ask(*commands, partition=0)
    wait_for(lambda: trail(running), "a checkpoint")
    running.query("UPDATE consumer_offsets SET last_hash = '' WHERE topic = %s AND partition = 0", (running.commands,))
    wait_for(lambda: alarms(running).get("log_replaced_0_3"), "the alarm")
    wait_for(lambda: stored(running) == 3, "the end")
    running.settle()
    assert (running.count("orders"), len(running.replies())) == (3, 3)


def test_the_trail_is_kept_thin(running: World) -> None:
    for _ in range(6):
        running.ask(*creates(2), partition=0)
        wait_for(lambda: trail(running)[-1:] == [stored(running) - 1], "the checkpoint")
    assert len(trail(running)) <= 5
    assert alarms(running) == {}


@pytest.mark.parametrize("compression", [None, "gzip"])
def test_a_record_is_looked_up_whatever_it_is_in(world: World, consumer: KafkaConsumer, compression: Any) -> None:
    records = [(None, b"one"), (b"key", b"two"), (b"key", None), (None, b"x" * 200_000)]
    with closing(
        KafkaProducer(bootstrap_servers=world.settings().bootstrap_servers, compression_type=compression, linger_ms=50)
    ) as producer:
        for key, value in records:
            if key is None and value is None:
                continue
            producer.send(world.commands, key=key, value=value, partition=0, timestamp_ms=17)
        producer.flush()
    place = TopicPartition(world.commands, 0)
    found = [command_looks.checkpoint_at(consumer, place, offset) for offset in range(4)]
    assert [(it.offset, it.timestamp, it.digest) for it in found if it] == [
        (offset, 17, digest(*record)) for offset, record in enumerate(records)
    ]
    assert command_looks.checkpoint_at(consumer, place, 4) is None
    assert command_looks.checkpoint_at(consumer, place, 9) is None
    assert command_looks.bounds(consumer, place) == (0, 4)


def test_what_is_polled_and_what_is_looked_up_are_the_same(world: World, consumer: KafkaConsumer) -> None:
    world.send(*creates(3), b"no JSON", None, partition=0)
    polled = [it for records in wait_for(lambda: consumer.poll(timeout_ms=500), "records").values() for it in records]
    place = TopicPartition(world.commands, 0)
    assert [command_looks.checkpoint_at(consumer, place, it.offset) for it in polled] == [*map(Checkpoint.of, polled)]


def test_transaction_markers_hold_no_record(world: World, consumer: KafkaConsumer) -> None:
    servers = world.settings().bootstrap_servers
    with closing(KafkaProducer(bootstrap_servers=servers, transactional_id=world.group)) as producer:
        producer.init_transactions()
        producer.begin_transaction()
        producer.send(world.commands, value=b"{}", partition=0)
        producer.commit_transaction()
    place = TopicPartition(world.commands, 0)
    assert patiently(command_looks.checkpoint_at, consumer, place, 0)
    assert wait_for(lambda: command_looks.bounds(consumer, place)[1] == 2, "the marker")
    assert command_looks.checkpoint_at(consumer, place, 1) is None


def test_a_partition_that_is_not_there_is_away(consumer: KafkaConsumer, world: World) -> None:
    place = TopicPartition(world.commands, 7)
    with pytest.raises(PartitionAway):
        command_looks.bounds(consumer, place)
    with pytest.raises(PartitionAway):
        command_looks.checkpoint_at(consumer, place, 0)


def test_the_age_of_records_is_asked(world: World, consumer: KafkaConsumer) -> None:
    world.send(*creates(2), partition=0)
    place = TopicPartition(world.commands, 0)
    assert command_looks.first_since(consumer, place, 0) == 0
    assert command_looks.first_since(consumer, place, 10**14) is None
