"""Topics that are deleted, grow, or are made otherwise than set; and another cluster at our addresses."""

from contextlib import closing
from functools import partial
from uuid import uuid4

import pytest
from kafka import KafkaAdminClient, KafkaConsumer
from kafka.admin import ACLOperation, NewPartitions

from app.kafka import clients, command_topic, operator, topics
from app.kafka.command_ports import PartitionAway
from app.services import consumer_thread, known_cluster, watch
from tests.harness.world import World, by_correlation, wait_for
from tests.integration.test_kafka_offsets import alarms, creates, ids
from tests.integration.test_watch import denied


@pytest.fixture(autouse=True)
def looks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consumer_thread, "RECHECK_SECONDS", 0.2)
    monkeypatch.setattr(known_cluster, "ANOTHER_CLUSTER_SECONDS", 0.2)
    monkeypatch.setattr(watch, "WATCH_LOOK_SECONDS", 0.2)


def partitions(world: World, topic: str) -> int:
    (described,) = world.wire.admin.describe_topics([topic])
    return len(described["partitions"])


def test_a_commands_topic_that_is_deleted_under_the_service_is_made_again_as_set(world: World) -> None:
    """[K1]"""
    world.start(KAFKA_TOPIC_PARTITIONS="5")
    before, after = creates(3), creates(5)
    world.ask(*before, partition=0)
    world.wire.admin.delete_topics([world.commands])
    wait_for(lambda: world.commands in world.wire.admin.list_topics() and partitions(world, world.commands) == 5, "it")
    world.wire.producer.close()
    del world.wire.producer
    world.send(*after, partition=4)
    wait_for(lambda: world.count("orders") == 8, "the commands of the new topic", 40)
    assert any(name.startswith("topic_made_anew_0_") for name in alarms(world))
    world.settle()
    assert set(by_correlation(world.replies())) == ids(before + after)


def test_commands_in_new_partitions_are_handled_soon(running: World) -> None:
    running.ask(*creates(1), partition=0)
    running.wire.admin.create_partitions({running.commands: NewPartitions(5)})
    running.wire.producer.close()
    del running.wire.producer
    wait_for(lambda: partitions(running, running.commands) == 5, "the partitions")
    running.send(*creates(2), partition=4)
    wait_for(lambda: running.count("orders") == 3, "the commands of the new partition", 20)


def test_fewer_partitions_than_set_are_told_until_there_are_as_many(running: World) -> None:
    running.start(KAFKA_TOPIC_PARTITIONS="4")
    sentence = wait_for(lambda: alarms(running).get("topic_partitions"), "the alarm")
    assert f"{running.commands} has 3" in sentence
    running.wire.admin.create_partitions(
        {topic: NewPartitions(4) for topic in (running.commands, running.events, running.letters)}
    )
    wait_for(lambda: "topic_partitions" not in alarms(running), "the end of the alarm")


def test_partitions_that_a_program_of_somebody_else_took_are_told_and_lost_by_none(running: World) -> None:
    first, second = creates(3), creates(6)
    running.ask(*first)
    foreign = KafkaConsumer(
        running.commands,
        bootstrap_servers=running.environment["KAFKA_BOOTSTRAP_SERVERS"],
        group_id=running.group,
        client_id="somebody-else",
        enable_auto_commit=False,
    )
    wait_for(lambda: foreign.poll(timeout_ms=200) or foreign.assignment(), "its partitions")
    running.send(*second)
    sentence = wait_for(lambda: (foreign.poll(timeout_ms=100), alarms(running).get("foreign_member"))[1], "the alarm")
    assert "somebody-else at 127.0.0.1" in sentence
    foreign.close()
    running.settle()
    assert set(by_correlation(running.replies())) == ids(first + second)
    wait_for(lambda: "foreign_member" not in alarms(running), "the end of the alarm")


def test_addresses_of_another_cluster_overwrite_nothing_until_a_person_accepts_it(running: World) -> None:
    running.ask(*creates(1), partition=0)
    running.stop()
    before = running.query("SELECT * FROM consumer_offsets ORDER BY 1, 2")
    running.query("UPDATE kafka_cluster SET cluster_id = 'ours', addresses = 'kafka:9092'")
    running.start()
    sentence = wait_for(lambda: alarms(running).get("another_cluster"), "the alarm")
    assert "than the stored offsets are of (ours at kafka:9092): nothing is consumed or sent" in sentence
    running.send(*creates(1), partition=0)
    assert running.query("SELECT * FROM consumer_offsets ORDER BY 1, 2") == before


def test_a_cluster_at_a_known_address_is_the_old_one_made_anew_only_where_its_commands_came_later(
    running: World,
) -> None:
    """A list may mix two clusters, a name may lead elsewhere: nothing is overwritten for that."""
    servers = running.environment["KAFKA_BOOTSTRAP_SERVERS"]
    running.ask(*creates(1), partition=0)
    running.stop()
    before = running.query("SELECT * FROM consumer_offsets ORDER BY 1, 2")
    running.query("UPDATE kafka_cluster SET cluster_id = 'ours', addresses = %s", (f"kafka:9092,{servers}",))
    running.start()
    wait_for(lambda: alarms(running).get("another_cluster"), "the alarm")
    running.send(*creates(1), partition=0)
    assert running.query("SELECT * FROM consumer_offsets ORDER BY 1, 2") == before
    for column in ("kafka_cluster SET seen_at", "consumer_offsets SET updated_at"):
        running.query(f"UPDATE {column} = now() - interval '1 day'")
    running.settle()
    assert [name.startswith("cluster_made_anew") for name in alarms(running)] == [True]


def test_no_client_makes_a_topic_by_asking_for_it(world: World) -> None:
    """kafka-python 3.0.12 takes the option and forgets it: what counts is what goes over the wire."""
    admin = partial(clients.admin, ask_ms=5000)
    for make in (clients.group_consumer, clients.producer, clients.reader, admin):
        with closing(make(world.settings())) as client:
            cluster = getattr(client, "_metadata", None) or client._manager.cluster
            assert cluster.metadata_request().allow_auto_topic_creation is False


def test_settings_of_a_topic_that_may_not_be_read_are_not_told(world: World, admin: KafkaAdminClient) -> None:
    """The answer is empty then: that is no answer to whether the topic is compacted."""
    commands = command_topic.KafkaCommandLog(world.settings(), None, uuid4())

    def told() -> bool | str:
        try:
            return commands.compacted()
        except PartitionAway as away:
            return str(away)

    assert told() is False
    with denied(admin, ACLOperation.DESCRIBE_CONFIGS, world.commands):
        assert "DESCRIBE_CONFIGS may be missing" in wait_for(told, "the refusal")


def test_brokers_that_describe_their_cluster_in_an_older_way_are_understood(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Kafka 2.8 to 3.6: kafka-python 3.0.12 looks for a field that their answers do not have."""

    def older(_: KafkaAdminClient) -> None:
        raise KeyError("endpoint_type")

    monkeypatch.setattr(KafkaAdminClient, "describe_cluster", older)
    seen: list[str | None] = []
    topics.ensure_topic(world.settings(), world.commands, seen.append)
    assert seen == [operator.cluster_id(world.settings())]
    assert seen[0]
