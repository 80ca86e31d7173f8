"""How long commands wait: by the time stamp of the first one, which is read once."""

import time
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from app.kafka.broker_view import FirstRecord, TopicView
from app.kafka.commands_lag import CommandsLag
from app.kafka.topics import Bounds

TOPIC = TopicView(uuid.UUID(int=7), {0: 1, 1: 1})


@dataclass
class View:
    """A broker with the ends of two partitions and what is read there."""

    ends: dict[int, int]
    records: dict[int, FirstRecord]
    read: list[Mapping[int, int]] = field(default_factory=list)

    def bounds(self, name: str, topic: TopicView) -> dict[int, Bounds]:
        return {partition: Bounds(0, end, end) for partition, end in self.ends.items()}

    def committed(self, name: str, partitions: Iterable[int]) -> dict[int, int]:
        return {}

    def first_records(self, name: str, offsets: Mapping[int, int]) -> dict[int, FirstRecord]:
        self.read.append(offsets)
        return {partition: self.records[partition] for partition in offsets}


def a_record(offset: int, seconds: float) -> FirstRecord:
    """One that was made so long ago."""
    return FirstRecord(offset, int((time.time() - seconds) * 1000), offset)


def stored(*offsets: int) -> dict[int, tuple[uuid.UUID, int]]:
    return {partition: (TOPIC.id, offset) for partition, offset in enumerate(offsets)}


def test_the_lag_is_the_age_of_the_first_command_and_is_read_once() -> None:
    view = View({0: 9, 1: 4}, {0: a_record(5, 3600)})
    lag = CommandsLag("commands", view)  # type: ignore[arg-type]  # a fake
    for _ in range(3):
        found = lag.look(TOPIC, stored(5, 4))
        assert (found[0].lag, round((found[0].lag_seconds or 0) / 60)) == (4, 60)
        assert (found[1].lag, found[1].lag_seconds) == (0, 0.0)
    assert view.read == [{0: 5}]


def test_what_came_since_the_last_look_is_young_and_not_read() -> None:
    view = View({0: 5, 1: 4}, {})
    lag = CommandsLag("commands", view)  # type: ignore[arg-type]  # a fake
    lag.look(TOPIC, stored(5, 4))
    view.ends[0] = 900
    assert (lag.look(TOPIC, stored(5, 4))[0].lag_seconds or 0) < 1
    assert view.read == []


def test_a_marker_of_a_transaction_does_not_wait() -> None:
    view = View({0: 6, 1: 4}, {0: FirstRecord(None, None, 6)})
    lag = CommandsLag("commands", view)  # type: ignore[arg-type]  # a fake
    assert [lag.look(TOPIC, stored(5, 4))[0].lag for _ in range(2)] == [0, 0]
    assert view.read == [{0: 5}]


def test_nothing_is_known_of_a_partition_without_bounds() -> None:
    view = View({0: 6}, {0: a_record(5, 1)})
    lag = CommandsLag("commands", view)  # type: ignore[arg-type]  # a fake
    assert lag.look(TOPIC, stored(5, 4))[1].lag_seconds is None
    assert lag.partitions == [0]
