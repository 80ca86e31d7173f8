"""Where commands are taken from: the group at first, then the stored row, and what if row and log disagree [K11]."""

from typing import Any, cast

import pytest
from kafka import OffsetAndMetadata, TopicPartition

from app.kafka import command_topic
from app.utils.alarms import Alarms
from tests.harness.world import World, a_create, by_correlation, patiently, wait_for

STORED = "SELECT next_offset FROM consumer_offsets WHERE topic = %s AND partition = 0"


def creates(count: int) -> list[dict[str, Any]]:
    return [a_create() for _ in range(count)]


def ids(commands: list[dict[str, Any]]) -> set[str]:
    return {command["correlation_id"] for command in commands}


def stored(world: World) -> int:
    return int(world.query(STORED, (world.commands,))[0][0])


def alarms(world: World) -> dict[str, str]:
    return cast(Alarms, world.apps[-1].extensions["alarms"]).all()


def store(world: World, offset: int) -> None:
    """What a person does, or a restored backup."""
    statement = "UPDATE consumer_offsets SET next_offset = %s WHERE topic = %s AND partition = 0"
    world.query(statement, (offset, world.commands))


def commit(world: World, offset: int) -> None:
    """Set the group's offset, as another consumer would have left it."""
    place = TopicPartition(world.commands, 0)
    offsets = {place: OffsetAndMetadata(offset, "", -1)}

    def is_there() -> bool:
        """The first group of a broker is refused until its topic of offsets is made."""
        patiently(world.wire.admin.alter_group_offsets, world.group, offsets)
        committed = patiently(world.wire.admin.list_group_offsets, world.group)[world.group]
        return place in committed and committed[place].offset == offset

    wait_for(is_there, "the group's offset")


def test_the_first_start_goes_on_at_the_groups_committed_offset(world: World) -> None:
    """[K11]"""
    commands = creates(5)
    world.send(*commands, partition=0)
    commit(world, 3)
    world.start()
    world.settle()
    assert set(by_correlation(world.replies())) == ids(commands[3:])


def test_the_first_start_without_a_committed_offset_begins_at_the_beginning(world: World) -> None:
    """[K11]"""
    commands = creates(5)
    world.send(*commands, partition=0)
    world.start()
    world.settle()
    assert set(by_correlation(world.replies())) == ids(commands)


@pytest.mark.parametrize("offset", [0, 4], ids=["to the beginning", "to the end"])
def test_a_later_start_goes_on_at_the_stored_row_though_the_group_was_reset(running: World, offset: int) -> None:
    """[K11]"""
    handled, waiting = creates(1), creates(3)
    running.ask(*handled, partition=0)
    running.stop()
    running.send(*waiting, partition=0)
    commit(running, offset)
    running.start()
    running.settle()
    assert set(by_correlation(running.replies())) == ids(handled + waiting)
    assert running.query("SELECT count(*), sum(version) FROM orders") == [(4, 4)]


def test_a_later_start_goes_on_at_the_stored_row_though_the_group_was_deleted(running: World) -> None:
    """[K11]"""
    handled, waiting = creates(2), creates(2)
    running.ask(*handled, partition=0)
    running.stop()
    running.wire.admin.delete_groups([running.group])
    running.send(*waiting, partition=0)
    running.start()
    running.settle()
    assert set(by_correlation(running.replies())) == ids(handled + waiting)


def test_a_topic_made_anew_under_the_service_is_handled_from_its_beginning_with_an_alarm(running: World) -> None:
    """[K11]"""
    before, after = creates(3), creates(5)
    running.ask(*before, partition=0)
    running.wire.admin.delete_topics([running.commands])
    wait_for(lambda: running.commands not in running.wire.admin.list_topics(), "the deletion")
    running.wire.create_topics(running.commands)
    running.send(*after, partition=0)
    wait_for(lambda: running.count("orders") == 8, "the commands of the new topic", 40)
    made_anew = {name: it for name, it in alarms(running).items() if name.startswith("topic_made_anew_0_")}
    assert list(made_anew.values()) == ["The topic was made anew; handling it from its beginning"]
    running.settle()
    assert set(by_correlation(running.replies())) == ids(before + after)


def test_a_log_that_ends_before_the_row_halts_its_partition_until_a_person_decides(running: World) -> None:
    """[K11]"""
    running.ask(*creates(2), partition=0)
    running.stop()
    store(running, 9)
    running.start()
    wait_for(lambda: running.alarm("offset_0"), "the alarm")
    assert running.alarm("offset_0") == "The log ends at 2, before the stored offset 9"
    waiting, others = creates(1), creates(1)
    running.send(*waiting, partition=0)
    running.send(*others, partition=1)
    wait_for(lambda: running.count("orders") == 3, "the other partition")
    assert stored(running) == 9
    store(running, 2)
    running.settle()
    assert ids(waiting + others) <= set(by_correlation(running.replies()))
    assert running.alarm("offset_0") is None


def test_a_log_that_begins_after_the_row_goes_on_there_with_an_alarm(running: World) -> None:
    """[K11]"""
    running.ask(*creates(1), partition=0)
    running.stop()
    lost, left = creates(3), creates(2)
    running.send(*lost, *left, partition=0)
    running.wire.admin.delete_records({TopicPartition(running.commands, 0): 4})
    running.start()
    running.settle()
    replies = set(by_correlation(running.replies()))
    assert running.alarm("commands_lost_0_1") == "The log begins at 4: the commands from 1 on were deleted unhandled"
    assert ids(left) <= replies
    assert not ids(lost) & replies


def test_a_row_behind_the_position_is_followed_back_and_nothing_is_done_twice(running: World) -> None:
    """As after a restored backup: the identities tell what was handled. [K11] [K8]"""
    first, second = creates(4), creates(1)
    running.ask(*first, partition=0)
    store(running, 1)
    running.send(*second, partition=0)
    wait_for(lambda: stored(running) == 5, "the way back to the end")
    running.settle()
    assert set(by_correlation(running.replies())) == ids(first + second)
    assert running.count("orders") == 5


def test_a_row_set_back_over_a_dead_letter_is_no_trouble(running: World) -> None:
    """It is in the dead letter topic once, and its neighbours go on. [K10] [K11]"""
    first, second = creates(1), creates(1)
    running.ask(*first, b"no JSON", partition=0)
    store(running, 0)
    running.send(*second, partition=0)
    wait_for(lambda: stored(running) == 3, "the way back to the end")
    running.settle()
    assert set(by_correlation(running.replies())) == ids(first + second)
    assert len(running.dead_letters()) == running.count("dead_letters") == 1


def test_a_row_ahead_of_the_position_means_that_another_instance_was_faster(running: World) -> None:
    """[K11]"""
    running.ask(*creates(1), partition=0)
    store(running, 3)
    commands = creates(4)
    running.send(*commands, partition=0)
    wait_for(lambda: stored(running) == 5, "the end")
    running.settle()
    assert ids(commands) & set(by_correlation(running.replies())) == ids(commands[2:])


def test_joins_that_outlive_the_poll_they_began_in_are_taken_up(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A member that forgot its join would consume nothing, for ever. [K7] [K11]"""
    monkeypatch.setattr(command_topic, "POLL_MS", 5)
    for _ in range(2):
        world.start()
    assert len(world.ask(*creates(12))) == 12
