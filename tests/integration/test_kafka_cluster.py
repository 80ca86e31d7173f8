"""Three brokers: what the stack for tests promises of them, and what the relay does when they come and go."""

import uuid
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from uuid import uuid4

import pytest
from confluent_kafka import Producer
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition

from app.config.config import Settings
from app.kafka.event_reader import EventReader
from app.models.outgoing import LogEnd, Outgoing
from tests.harness.cluster import Cluster
from tests.harness.terminal import Terminal
from tests.harness.waiting import until
from tests.harness.world import Wire, World, details, wait_for


@pytest.fixture
def three(cluster: Cluster) -> Iterator[Cluster]:
    """The cluster; whatever the test killed or froze is back afterwards."""
    yield cluster
    for broker in cluster.brokers:
        broker.thaw()
    cluster.start()


def write(cluster: Cluster, topic: str, *values: bytes) -> None:
    with KafkaProducer(bootstrap_servers=cluster.answering.bootstrap, acks="all") as producer:
        for value in values:
            producer.send(topic, value=value, partition=0).get(timeout=30)


def read(cluster: Cluster, topic: str) -> list[bytes]:
    place = TopicPartition(topic, 0)
    with KafkaConsumer(bootstrap_servers=cluster.answering.bootstrap, auto_offset_reset="earliest") as consumer:
        end = consumer.end_offsets([place])[place]
        consumer.assign([place])
        found: list[bytes] = []

        def has_all() -> bool:
            found.extend(record.value for record in consumer.poll(200).get(place, []))
            return len(found) >= int(end)

        until(has_all, "records")
        return found


def test_a_topic_outlives_its_leader_and_a_broker_comes_back_with_its_data(three: Cluster) -> None:
    topic = f"t-{uuid4().hex}"
    three.create_topic(topic)
    write(three, topic, b"1")
    leader = three.leader(topic, 0)
    leader.kill()
    until(lambda: three.leader(topic, 0) is not leader, "another leader")
    write(three, topic, b"2")
    assert read(three, topic) == [b"1", b"2"]
    leader.start()
    three.await_in_sync(topic)
    three.leader(topic, 0).kill()
    until(lambda: three.leader(topic, 0).running, "a leader that runs")
    assert read(three, topic) == [b"1", b"2"]


def test_a_broker_that_is_frozen_is_out_of_sync_until_it_is_thawed(three: Cluster) -> None:
    topic = f"t-{uuid4().hex}"
    three.create_topic(topic)
    follower = three.followers(topic, 0)[0]
    follower.freeze()
    until(lambda: follower.node not in three.partitions(topic)[0].in_sync, "a replica that is out of sync")
    follower.thaw()
    three.await_in_sync(topic)


def an_outgoing(number: int) -> Outgoing:
    event_id = uuid.UUID(int=number)
    return Outgoing(number, event_id, b"order-1", b"{}", (("event_id", str(event_id).encode()),))


def test_the_end_of_the_leaders_log_is_told_before_a_consumer_can_see_it(three: Cluster) -> None:
    """[K13] What a killed relay has sent is read back however far a follower lags.

    The frozen one leaves the in-sync replicas within seconds; fewer than min.insync.replicas show nothing new.
    """
    topic = f"t-{uuid4().hex}"
    three.create_topic(topic, partitions=1, min_insync_replicas=3)
    settings = Settings.load({"KAFKA_BOOTSTRAP_SERVERS": three.bootstrap})
    reader = EventReader(settings, topic, uuid.UUID(int=1))
    follower = three.followers(topic, 0)[0]
    try:
        follower.freeze()
        append(three, topic, *[an_outgoing(number) for number in range(1, 6)])
        end = until(lambda: reader.leader_ends([0]).get(0), "the leader's answer")
        seen = reader.read({0: 0})
        assert isinstance(end, LogEnd)
        assert (end.position.next_offset, seen) == (5, {})
        follower.thaw()
        found = until(lambda: reader.read({0: 0}), "what the follower has too")
        assert set(found[0].event_ids) == {uuid.UUID(int=number) for number in range(1, 6)}
        assert found[0].next_offset == 5
    finally:
        reader.close()


def append(cluster: Cluster, topic: str, *records: Outgoing) -> None:
    """Have the partition's leader append the records, which no follower need have."""
    producer = Producer({"bootstrap.servers": cluster.leader(topic, 0).bootstrap, "acks": 1})
    for record in records:
        producer.produce(topic, record.value, key=record.key, headers=list(record.headers), partition=0)
    assert producer.flush(20) == 0


@pytest.fixture
def lone(three: Cluster, database_url: str) -> Iterator[World]:
    """A world on the three brokers whose events have a copy only each: one broker less is a partition less."""
    with closing(KafkaAdminClient(bootstrap_servers=three.bootstrap)) as admin:
        made = World(Wire(three.bootstrap, admin), three.bootstrap, database_url)
        try:
            for topic in (made.commands, made.letters):
                three.create_topic(topic)
            three.create_topic(made.events, replication=1)
            yield made
        finally:
            three.start()
            made.close()


def test_a_partition_without_a_leader_holds_up_no_event_of_another(three: Cluster, lone: World) -> None:
    """[K2] [K13] And in it they come in order when it is back, none twice."""
    client = lone.start().test_client()
    order = {"customer_id": "c", "order_details": details()}
    orders: list[str] = []
    place: dict[str, int] = {}
    while len(set(place.values())) < len(three.partitions(lone.events)):  # one in each
        orders += [client.post("/createOrder", json=order).get_json()["order_id"] for _ in range(9)]
        wait_for(lambda: not lone.count("outbox"), "an empty outbox")
        place = {row["key"].decode(): row["partition"] for row in lone.replies()}
    away = three.leader(lone.events, 0)
    gone = [partition for partition, it in three.partitions(lone.events).items() if it.leader == away.node]
    there = [order_id for order_id in orders if place[order_id] not in gone]
    away.kill()
    for status in ("CREATED", "PLACED"):
        for order_id in orders:
            assert client.post("/updateOrderStatus", json={"orderId": order_id, "status": status}).status_code == 200
    waiting = "SELECT count(*) FROM outbox WHERE aggregateid = ANY (%s)"
    wait_for(lambda: lone.query(waiting, (there,)) == [(0,)], "the others' events", 40)
    assert lone.count("outbox") == 2 * (len(orders) - len(there)) > 0
    wait_for(lambda: lone.alarm(f"events_partition_{gone[0]}"), "the alarm", 40)
    away.start()
    wait_for(lambda: not lone.count("outbox"), "an empty outbox", 60)
    versions = [(row["key"].decode(), row["payload"]["version"]) for row in lone.replies()]
    for order_id in orders:
        assert [version for key, version in versions if key == order_id] == [1, 2, 3]
    wait_for(lambda: not lone.alarm(f"events_partition_{gone[0]}"), "the end of the alarm", 40)


def test_an_operator_is_told_which_partition_has_no_leader(three: Cluster, lone: World) -> None:
    lone.environment["KAFKA_COMMANDS_TOPIC"] = commands = f"t-{uuid4().hex}"
    three.create_topic(commands, replication=1)
    three.leader(commands, 0).kill()
    for topic, command in ((commands, ("offsets", "show")), (lone.events, ("outbox", "find-lost"))):
        gone = until(partial(without_leader, three, topic), "a partition without a leader")
        sentence = f"Kafka has no leader for {', '.join(gone)}, so nothing is known of the log."
        assert Terminal(lone).refusal(*command) == sentence


def without_leader(cluster: Cluster, topic: str) -> list[str]:
    return [f"{topic}/{number}" for number, it in sorted(cluster.partitions(topic).items()) if it.leader is None]
