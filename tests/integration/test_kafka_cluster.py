"""Three brokers: what the stack for tests promises of them, and what the relay does when they come and go."""

from collections.abc import Iterator
from uuid import uuid4

import pytest
from kafka import KafkaConsumer, KafkaProducer, TopicPartition

from tests.faults.cluster import Cluster
from tests.faults.waiting import until


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
        until(
            lambda: found.extend(it.value for it in consumer.poll(200).get(place, [])) or len(found) >= end, "records"
        )
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
