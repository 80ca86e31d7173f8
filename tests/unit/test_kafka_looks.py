"""Looks beside what is polled: what a partition without a leader costs the others."""

from types import SimpleNamespace
from typing import Any

import pytest
from kafka import KafkaConsumer, TopicPartition

from app.kafka import command_looks
from app.kafka.command_ports import PartitionAway

PLACE = TopicPartition("commands", 0)


class Leaderless:
    """A consumer whose metadata knows no leader; to ask a broker for the partition would block."""

    def __init__(self) -> None:
        self.updates = 0
        self._cluster = SimpleNamespace(leader_for_partition=lambda _: -1, request_update=self._update)

    def _update(self) -> None:
        self.updates += 1

    def _blocks(self, *_: object, **__: object) -> None:
        raise AssertionError("it is asked for although nobody has it")

    beginning_offsets = end_offsets = offsets_for_times = _blocks


@pytest.mark.parametrize(
    "look",
    [
        command_looks.bounds,
        lambda consumer, place: command_looks.first_since(consumer, place, 0),
        lambda consumer, place: command_looks.checkpoint_at(consumer, place, 0),
    ],
)
def test_a_partition_without_a_leader_is_away_at_once_and_its_leader_asked_for(look: Any) -> None:
    consumer: KafkaConsumer = Leaderless()
    with pytest.raises(PartitionAway, match="LeaderNotAvailable"):
        look(consumer, PLACE)
    assert consumer.updates == 1
