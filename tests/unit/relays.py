"""Builders of a relay's leader on the scripted ports."""

import uuid
from collections.abc import Callable
from typing import Any

from app.kafka.read_back import ReadBack
from app.kafka.relay import Leader
from app.models.records import LogPosition
from app.utils.alarms import Alarms
from tests.unit.scripted_relay import TOPIC, ScriptedLease, ScriptedTopic, a_row

LOOKS = 400  # some seconds of the scripted clock


def lane(count: int, **other: Any) -> ScriptedLease:
    """A lane of `count` rows that was relayed before, to two partitions at the most."""
    given: dict[str, Any] = {"stored": {0: LogPosition(TOPIC, 0), 1: LogPosition(TOPIC, 0)}} | other
    return ScriptedLease([a_row(number) for number in range(1, count + 1)], **given)


def ids(*numbers: int) -> list[uuid.UUID]:
    return [uuid.UUID(int=number) for number in numbers]


def a_read_back(
    lease: ScriptedLease,
    topic: ScriptedTopic,
    alarms: Alarms | None = None,
    settle_seconds: float = 0.0,
    broker_answers: Callable[[], bool] = lambda: True,
) -> ReadBack:
    return ReadBack("events", lease, topic, alarms or Alarms(), settle_seconds, topic.clock, broker_answers)


def looked(partitions: ReadBack) -> ReadBack:
    """Let it advance until there is nothing left to do, some seconds at the longest."""
    for _ in range(LOOKS):
        partitions.advance()
        partitions.drain()
        if partitions.all_open:
            break
    return partitions


def a_leader(lease: ScriptedLease, topic: ScriptedTopic, alarms: Alarms | None = None) -> tuple[Leader, ReadBack]:
    """A leader that has read back what it could."""
    partitions = looked(a_read_back(lease, topic, alarms))
    return Leader("events", lease, topic, partitions), partitions


def relay_all(
    lease: ScriptedLease, topic: ScriptedTopic, leader: Leader | None = None, partitions: ReadBack | None = None
) -> list[int]:
    """Relay until nothing is done any more; return how many rows each step did something with."""
    if leader is None or partitions is None:
        leader, partitions = a_leader(lease, topic)
    else:
        looked(partitions)
    done = [leader.step()]
    while done[-1]:
        looked(partitions)
        done.append(leader.step())
    return done
