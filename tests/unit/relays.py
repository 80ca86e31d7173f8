"""Builders of a relay's leader on the scripted ports."""

import uuid

from app.kafka.ports import Position
from app.kafka.read_back import ReadBack
from app.kafka.relay import Leader
from app.utils.alarms import Alarms
from tests.unit.scripted_relay import TOPIC, ScriptedLead, ScriptedTopic, a_row

LOOKS = 400  # some seconds of the scripted clock


def lane(count: int, **lead: object) -> ScriptedLead:
    """A lane of `count` rows that was relayed before, to two partitions at the most."""
    given: dict[str, object] = {"stored": {0: Position(TOPIC, 0), 1: Position(TOPIC, 0)}} | lead
    return ScriptedLead([a_row(number) for number in range(1, count + 1)], **given)  # type: ignore[arg-type]


def ids(*numbers: int) -> list[uuid.UUID]:
    return [uuid.UUID(int=number) for number in numbers]


def a_read_back(
    lead: ScriptedLead, topic: ScriptedTopic, alarms: Alarms | None = None, settle_seconds: float = 0.0
) -> ReadBack:
    return ReadBack("events", lead, topic, alarms or Alarms(), settle_seconds, topic.clock)


def looked(partitions: ReadBack) -> ReadBack:
    """Let it look until there is nothing left to do for it, some seconds at the longest."""
    for _ in range(LOOKS):
        partitions.look()
        partitions.drain()
        if partitions.all_open:
            break
    return partitions


def a_leader(lead: ScriptedLead, topic: ScriptedTopic, alarms: Alarms | None = None) -> tuple[Leader, ReadBack]:
    """A leader that has read back what it could."""
    partitions = looked(a_read_back(lead, topic, alarms))
    return Leader("events", lead, topic, partitions), partitions


def relay_all(
    lead: ScriptedLead, topic: ScriptedTopic, leader: Leader | None = None, partitions: ReadBack | None = None
) -> list[int]:
    """Relay until nothing is done any more; return how many rows each step did something with."""
    if leader is None or partitions is None:
        leader, partitions = a_leader(lead, topic)
    else:
        looked(partitions)
    done = [leader.step()]
    while done[-1]:
        looked(partitions)
        done.append(leader.step())
    return done
