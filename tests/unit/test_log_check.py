"""The log is not the one that was handled: what was written there instead is handled, from where the two part [K11]."""

import uuid
from datetime import UTC, datetime

import pytest

from app.kafka.command_ports import PartitionAway
from app.kafka.command_trouble import Breaker
from app.kafka.consumer import LOOKS_BEFORE_NEW_CLIENT, CommandConsumer
from app.kafka.log_check import LogCheck
from app.models.records import NO_ID, Checkpoint, StoredOffset, TakeOver, digest
from tests.unit.scripted_commands import OTHER_TOPIC, TOPIC
from tests.unit.stage import IDENTITY_DAYS, Stage


def handled_up_to(*ends: int) -> Stage:
    """The first partition handled up to each of the ends, with a look after each; the second has one command."""
    stage = Stage({0: [], 1: [0]})
    for end in ends:
        stage.log.records[0] = list(range(end))
        stage.play().look()
    return stage


def restarted(stage: Stage) -> Stage:
    """The same servers, and a consumer that has just started."""
    new = Stage({})
    new.log, new.store, new.alarms = stage.log, stage.store, stage.alarms
    new.consumer = CommandConsumer(stage.log, stage.store, stage.store, stage.alarms, Breaker(), IDENTITY_DAYS)
    new.log.assign(*stage.log.records)
    return new


@pytest.mark.parametrize("end", [6, 8, 9, 12, 20])
@pytest.mark.parametrize("begins", ["with the service running", "before it starts"])
def test_a_log_that_was_cut_and_grew_again_is_handled_from_where_the_two_part(end: int, begins: str) -> None:
    stage = handled_up_to(3, 6, 9)
    stage.log.replace(0, 6, list(range(6, end)))
    stage = restarted(stage) if begins == "before it starts" else stage.look()
    new = list(range(6, end))
    assert stage.play().handled()[9:] == new
    (sentence,) = stage.alarms.all().values()
    assert "The commands that were there from 6 on are gone" in sentence


def test_a_cut_below_every_checkpoint_is_handled_from_the_beginning() -> None:
    stage = handled_up_to(5)
    stage.log.replace(0, 2, [2, 3, 4, 5])
    assert stage.look().handled()[5:] == [0, 1, 2, 3, 4, 5]
    assert list(stage.alarms.all()) == ["log_replaced_0_5"]


def test_a_cut_that_the_client_ran_over_is_noticed_by_older_checkpoints() -> None:
    """Its position was in the new log already, and it took the record there for the next one."""
    stage = handled_up_to(3, 6)
    stage.log.replace(0, 3, [3, 4, 5, 6])
    stage.play()
    assert stage.handled()[6:] == [6]
    assert stage.look().handled()[7:] == [3, 4, 5, 6]


def test_a_log_that_was_replaced_up_to_the_same_offset_has_its_checkpoint_in_the_trail() -> None:
    """The position stands where it stood, and the record before it is another one."""
    stage = handled_up_to(3, 6)
    stage.log.replace(0, 3, [3, 4, 5])
    stage.look().look()
    assert [checkpoint.offset for checkpoint in stage.store.trails[0]] == [5, 2]
    assert stage.store.trails[0][0] == stage.store.offsets[0].last_handled


def test_a_new_leader_is_looked_at_before_its_records_are_handled() -> None:
    stage = handled_up_to(3, 6)
    stage.log.epoch = 5
    stage.log.records[0].append(6)
    stage.play()
    stage.log.replace(0, 3, [3, 4, 5, 6, 7])
    stage.log.epoch = 6
    assert stage.play().handled()[7:] == [3, 4, 5, 6, 7]


def test_a_new_leader_that_has_everything_costs_one_look() -> None:
    stage = Stage({0: [0]}, epoch=1)
    stage.play()
    stage.log.epoch = 2
    stage.log.records[0] += [1, 2]
    before = len(stage.log.seeks)
    assert stage.play().handled() == [0, 1, 2]
    assert (len(stage.log.seeks) - before, stage.alarms.all()) == (1, {})


def test_records_from_below_the_position_are_evidence() -> None:
    """kafka-python goes to where the logs part by itself, and says nothing."""
    stage = handled_up_to(3, 6)
    stage.log.replace(0, 3, list(range(3, 8)))
    stage.log._positions[0] = 3
    assert stage.play().handled()[6:] == [3, 4, 5, 6, 7]


def test_what_retention_deleted_is_no_sign_of_another_log() -> None:
    stage = handled_up_to(3, 6)
    stage.log.records[0], stage.log.begins[0] = [], 6
    stage.look()
    stage.log.records[0] = [6]
    assert stage.look().handled() == [*range(6), 6]
    assert stage.alarms.all() == {}


@pytest.mark.parametrize(("compacted", "again"), [(True, []), (False, [3, 4])])
def test_a_record_that_is_gone_is_a_sign_where_nothing_compacts(compacted: bool, again: list[int]) -> None:
    stage = handled_up_to(3, 6)
    stage.log.compact = compacted
    stage.log.records[0] = [0, 1, 2, 3, 4, 7]
    stage.look()
    assert stage.handled()[6:] == [*again, 7]


def test_a_topic_without_an_id_that_gets_one_is_the_same() -> None:
    stage = handled_up_to(3)
    stage.store.offsets[0] = StoredOffset(NO_ID, 3, stage.store.offsets[0].last_handled)
    stage.log.records[0].append(3)
    stage = restarted(stage)
    assert stage.play().handled()[3:] == [3]
    assert (stage.store.offsets[0].topic_id, stage.alarms.all()) == (TOPIC, {})


def test_the_same_log_under_another_id_goes_on_where_it_stood() -> None:
    stage = handled_up_to(3)
    stage.log.id = OTHER_TOPIC
    stage.log.records[0].append(3)
    assert stage.play().handled() == [0, 1, 2, 3]
    assert stage.alarms.all() == {}


def test_another_topic_that_holds_commands_of_before_the_take_over_waits_for_a_person() -> None:
    stage = handled_up_to(3)
    stage.store.offsets[0] = StoredOffset(TOPIC, 3, None, TakeOver(3, datetime.now(UTC)))
    stage.log.id = OTHER_TOPIC
    stage.log.first_since = lambda partition, timestamp: 2
    assert stage.play().handled() == [0, 1, 2]
    assert "would be done again" in stage.alarms.all()["offset_0"]


def test_going_back_ends_at_the_take_over() -> None:
    """What lies before was the predecessor's, and is not recognised."""
    stage = handled_up_to(5)
    stage.store.trails.clear()
    last_handled = stage.store.offsets[0].last_handled
    stage.store.offsets[0] = StoredOffset(TOPIC, 5, last_handled, TakeOver(2, datetime.now(UTC)))
    stage.log.replace(0, 1, [1, 2, 3, 4, 5])
    assert stage.look().handled()[5:] == [2, 3, 4, 5]


def test_a_log_that_ends_before_the_take_over_waits_for_a_person() -> None:
    stage = handled_up_to(5)
    stage.store.trails.clear()
    last_handled = stage.store.offsets[0].last_handled
    stage.store.offsets[0] = StoredOffset(TOPIC, 5, last_handled, TakeOver(4, datetime.now(UTC)))
    stage.log.replace(0, 1, [1])
    assert stage.look().handled() == [0, 1, 2, 3, 4]
    assert "where this service took over" in stage.alarms.all()["offset_0"]


def test_commands_that_retention_took_between_a_seek_and_the_first_poll_are_told() -> None:
    """[K11] Not a gap in the log: it begins there now."""
    stage = Stage({0: list(range(9))}, {0: 2})
    stage.step()
    stage.log.records[0], stage.log.begins[0] = [6, 7, 8], 6
    assert stage.play().handled() == [6, 7, 8]
    assert "from 2 on were deleted unhandled" in stage.alarms.all()["commands_lost_0_2"]


def test_a_partition_without_a_leader_rests_alone() -> None:
    """[K10] None holds up others; it is told, tried again, and taken back."""
    stage = Stage({0: [0, 1], 1: [0, 1]}, away={0})
    assert (stage.play().handled(0), stage.handled(1)) == ([], [0, 1])
    assert stage.alarms.all() == {}
    stage.look()
    assert "cannot be read, its commands wait: no leader" in stage.alarms.all()["partition_0"]
    stage.log.away.clear()
    assert (stage.look().handled(0), stage.alarms.all()) == ([0, 1], {})


def test_a_partition_that_loses_its_leader_under_way_goes_on_where_it_stood() -> None:
    stage = Stage({0: [0], 1: [0]}).play().look()
    stage.log.away = {0}
    stage.look().look()
    assert list(stage.alarms.all()) == ["partition_0"]
    stage.log.away = set()
    stage.log.records[0].append(1)
    assert (stage.look().handled(0), stage.alarms.all()) == ([0, 1], {})


def test_a_resting_partition_that_is_lost_takes_its_alarm_along() -> None:
    stage = Stage({0: [0], 1: [0]}, away={0}).play().look()
    stage.log.assign(1)
    assert stage.play().alarms.all() == {}


def test_where_nothing_can_be_looked_at_for_long_a_new_client_is_asked_for() -> None:
    stage = Stage({0: [0]}, away={0}).play()
    for _ in range(LOOKS_BEFORE_NEW_CLIENT - 2):
        stage.look()
    with pytest.raises(PartitionAway):
        stage.look()


def test_key_and_value_are_told_apart() -> None:
    pairs = [(None, None), (b"", None), (None, b""), (b"a", b"b"), (b"ab", b""), (b"", b"ab"), (b"a", None)]
    assert len({digest(*pair) for pair in pairs}) == len(pairs)


def test_a_record_that_cannot_be_read_says_nothing() -> None:
    stage = handled_up_to(3)
    stage.log.checkpoint_at = lambda partition, offset: Checkpoint(offset, 0, None)
    assert stage.look().alarms.all() == {}


def test_a_first_offset_of_the_group_is_a_take_over() -> None:
    stage = Stage({0: [0, 1, 2]}, group={0: 2})
    stage.step()
    take_over = stage.store.offsets[0].take_over
    assert take_over is not None
    assert take_over.offset == 2
    assert LogCheck(stage.log, stage.store, stage.alarms, IDENTITY_DAYS).find(0, uuid.UUID(int=1)) is not None
