"""Reading back, partition by partition: where it begins, when it is at the end, and what a person hears of it."""

import uuid

import pytest

from app.kafka.read_back import RING_SECONDS
from app.kafka.relay_ports import SendFailed
from app.models.records import LogPosition
from app.utils.alarms import Alarms
from tests.unit.relays import a_leader, a_read_back, ids, lane, looked, relay_all
from tests.unit.scripted_relay import NEW_TOPIC, TOPIC, ScriptedTopic, a_row


def test_reading_back_begins_at_the_stored_position() -> None:
    lease, topic = lane(2, stored={0: LogPosition(TOPIC, 3)}), ScriptedTopic({0: ids(90, 91, 92, 1, 93)})
    a_leader(lease, topic)
    assert topic.reads == [(0, 3)]
    assert (lease.noted, lease.stored[0].next_offset) == (set(ids(1, 93)), 5)


def test_the_first_relay_of_a_topic_stores_its_ends_and_reads_nothing() -> None:
    """Nothing of ours can be in it: another service's history is not read through."""
    lease, topic = lane(2, stored={}), ScriptedTopic({0: ids(90, 91)})
    a_leader(lease, topic)
    assert (topic.reads, lease.stored) == ([], {0: LogPosition(TOPIC, 2)})


def test_positions_at_the_ends_need_no_reading() -> None:
    lease, topic = lane(1, stored={0: LogPosition(TOPIC, 2)}), ScriptedTopic({0: ids(90, 91)})
    a_leader(lease, topic)
    assert (topic.reads, topic.closed) == ([], 1)


def test_each_portion_is_stored_with_the_position_behind_it() -> None:
    """Whoever leads next goes on there, however much there is."""
    lease, topic = lane(1), ScriptedTopic({0: ids(*range(50, 60))})
    partitions = a_read_back(lease, topic)
    partitions.advance()
    assert (lease.noted, lease.stored[0].next_offset) == (set(ids(50, 51)), 2)
    looked(a_read_back(lease, topic))
    assert topic.reads == [(0, 0), (0, 2), (0, 4), (0, 6), (0, 8)]


def test_stray_sends_land_while_it_settles_and_are_found() -> None:
    """[K13] The end counts that was asked for after the settling."""
    lease, topic = lane(2), ScriptedTopic()
    partitions = a_read_back(lease, topic, settle_seconds=2.0)
    partitions.advance()
    topic.log.extend(ids(1))
    assert not partitions.may_send
    looked(partitions)
    assert (partitions.all_open, lease.noted) == (True, set(ids(1)))
    assert topic.clock.now > 2.0


def test_an_empty_outbox_does_not_settle() -> None:
    lease, topic = lane(0), ScriptedTopic({0: ids(90)})
    assert looked(a_read_back(lease, topic, settle_seconds=60.0)).all_open
    assert topic.clock.now < 2.0


def test_it_is_not_at_the_end_before_it_has_read_what_only_the_leader_has() -> None:
    """[K13] Followers lag: what they do not have yet cannot be read, and becomes visible later."""
    lease, topic = lane(3), ScriptedTopic({0: ids(1, 2)}, unseen={0: 1})
    partitions = looked(a_read_back(lease, topic))
    assert (partitions.all_open, partitions.may_send) == (False, False)
    topic.unseen = {}
    looked(partitions)
    assert (partitions.all_open, lease.noted) == (True, set(ids(1, 2)))


def test_what_vanishes_with_its_leader_is_sent_again() -> None:
    """What no follower had was never acknowledged, and is cut off when the old leader comes back."""
    lease, topic = lane(2), ScriptedTopic({0: ids(1, 2)}, unseen={0: 1})
    partitions = looked(a_read_back(lease, topic))
    topic.logs, topic.unseen, topic.leaders = {0: ids(1)}, {}, {0: 1}
    leader, partitions = a_leader(lease, topic)
    relay_all(lease, topic, leader, partitions)
    assert topic.log == ids(1, 2)


def test_another_leader_of_a_partition_is_read_back_again() -> None:
    """[K13] An unclean election may bring back what the last leader did not have."""
    lease, topic = lane(0), ScriptedTopic()
    leader, partitions = a_leader(lease, topic)
    topic.logs, topic.leaders = {0: ids(1)}, {0: 1}
    lease.rows = [a_row(1), a_row(2)]
    relay_all(lease, topic, leader, partitions)
    assert topic.log == ids(1, 2)


def test_a_topic_made_anew_is_read_from_its_beginning() -> None:
    stored = {0: LogPosition(TOPIC, 9), 1: LogPosition(NEW_TOPIC, 1)}
    lease, topic = lane(0, stored=stored), ScriptedTopic({0: ids(1, 2), 1: ids(3, 4), 2: ids(5)}, topic_id=NEW_TOPIC)
    partitions = looked(a_read_back(lease, topic))
    assert sorted(topic.reads) == [(0, 0), (1, 1), (2, 0)]
    assert partitions.all_open


def test_a_topic_that_gets_an_id_is_the_same_topic() -> None:
    """As of brokers that are newer now."""
    lease, topic = lane(0, stored={0: LogPosition(uuid.UUID(int=0), 1)}), ScriptedTopic({0: ids(1, 2)})
    looked(a_read_back(lease, topic))
    assert (topic.reads, lease.stored[0]) == ([(0, 1)], LogPosition(TOPIC, 2))


def test_a_partition_that_is_gone_is_not_read() -> None:
    lease, topic = (
        lane(0, stored={0: LogPosition(NEW_TOPIC, 1), 7: LogPosition(TOPIC, 1)}),
        ScriptedTopic(topic_id=NEW_TOPIC),
    )
    topic.logs = {0: ids(1)}
    assert looked(a_read_back(lease, topic)).all_open


def test_a_log_that_ends_before_the_stored_position_has_lost_events() -> None:
    alarms = Alarms()
    lease, topic = lane(0, stored={0: LogPosition(TOPIC, 9)}), ScriptedTopic({0: ids(1, 2)})
    looked(a_read_back(lease, topic, alarms))
    assert "ends at offset 2, and records up to 8 were written" in alarms.all()["events_lost_0_2_8"]
    assert lease.stored[0].next_offset == 2


def test_a_partition_that_stays_away_rings_with_the_reason_until_it_is_back() -> None:
    alarms = Alarms()
    lease, topic = lane(1), ScriptedTopic({0: [], 1: []}, off={1: "has no leader"})
    partitions = a_read_back(lease, topic, alarms)
    looked(partitions)
    assert topic.clock.now > RING_SECONDS
    assert list(alarms.all()) == ["events_partition_1"]
    assert "Partition 1 of the topic of the events has no leader" in alarms.all()["events_partition_1"]
    topic.off = {}
    assert looked(partitions).all_open
    assert not alarms.all()


def test_a_partition_does_not_ring_for_the_time_in_which_no_broker_answers() -> None:
    alarms, answers = Alarms(), [False]
    lease, topic = lane(1), ScriptedTopic({0: [], 1: []}, off={1: "its leader does not answer"})
    partitions = a_read_back(lease, topic, alarms, broker_answers=lambda: answers[0])
    looked(partitions)
    assert topic.clock.now > RING_SECONDS
    assert not alarms.all()
    answers[0] = True
    looked(partitions)
    assert list(alarms.all()) == ["events_partition_1"]


def test_a_process_that_slept_does_not_ring_for_it() -> None:
    alarms = Alarms()
    lease, topic = lane(1), ScriptedTopic({0: [], 1: []}, off={1: "has no leader"})
    partitions = a_read_back(lease, topic, alarms)
    partitions.advance()
    topic.clock.now += 3600
    partitions.advance()
    assert not alarms.all()


# More partitions


def test_rows_go_by_the_new_number_of_partitions_once_all_older_ones_are_acknowledged() -> None:
    """[K2]"""
    alarms = Alarms()
    lease, topic = lane(0, limit=2), ScriptedTopic({0: [], 1: []}, silent={1})
    leader, partitions = a_leader(lease, topic, alarms)
    lease.rows = [a_row(5)]
    relay_all(lease, topic, leader, partitions)
    topic.logs[2] = []
    lease.rows = [a_row(8), a_row(11)]
    relay_all(lease, topic, leader, partitions)
    assert topic.logs == {0: ids(8), 1: ids(5), 2: []}
    topic.silent = set()
    relay_all(lease, topic, leader, partitions)
    lease.rows = [a_row(14)]
    relay_all(lease, topic, leader, partitions)
    assert topic.logs == {0: ids(8), 1: ids(5, 11), 2: ids(14)}
    assert "has 3 partitions instead of 2" in alarms.all()["events_partitions_2_3"]
    assert lease.stored[2] == LogPosition(TOPIC, 1)


@pytest.mark.parametrize("off", [{}, {1: "has no leader"}])
def test_a_new_leader_begins_with_the_number_of_the_last_one(off: dict[int, str]) -> None:
    """[K13] What that one sent by the old number may be in a partition that cannot be read back yet."""
    lease, topic = lane(3), ScriptedTopic({0: [], 1: ids(1), 2: []}, off=off)
    leader, partitions = a_leader(lease, topic)
    relay_all(lease, topic, leader, partitions)
    topic.off = {}
    relay_all(lease, topic, leader, partitions)
    assert sorted(it for log in topic.logs.values() for it in log) == ids(1, 2, 3)
    assert partitions.count == 3


@pytest.mark.parametrize("new", [[9], list(range(9, 19))], ids=["ends before", "grew beyond at once"])
def test_a_log_that_was_cut_under_a_running_leader_is_noticed_at_the_next_acknowledgement(new: list[int]) -> None:
    """[K13] The broker came back with an older copy, and nobody had to connect to another leader."""
    alarms = Alarms()
    lease, topic = lane(8), ScriptedTopic()
    leader, partitions = a_leader(lease, topic, alarms)
    relay_all(lease, topic, leader, partitions)
    del topic.log[3:]
    lease.rows += map(a_row, new)
    relay_all(lease, topic, leader, partitions)
    assert "records up to 7 were written" in alarms.all()["events_lost_0_3_7"]
    assert lease.stored[0].next_offset == len(topic.log)
    lease.rows.append(a_row(99))
    relay_all(lease, topic, leader, partitions)
    assert (topic.log, len(alarms.all())) == (ids(1, 2, 3, *new, 99), 1)


def test_a_new_leader_of_a_partition_that_has_less_than_was_acknowledged_has_lost_events() -> None:
    """Also what was sent since the read-back: an unclean election while the service runs."""
    alarms = Alarms()
    lease, topic = lane(8), ScriptedTopic()
    leader, partitions = a_leader(lease, topic, alarms)
    relay_all(lease, topic, leader, partitions)
    del topic.log[6:]
    topic.leaders[0] = 1
    looked(partitions)
    assert "records up to 7 were written" in alarms.all()["events_lost_0_6_7"]


def test_an_end_that_was_asked_for_before_the_last_reading_is_no_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer may take longer than what is read meanwhile, and then tells of a log that was shorter."""
    lease, topic = lane(1), ScriptedTopic({0: ids(90, 91)})
    alarms = Alarms()
    partitions = a_read_back(lease, topic, alarms=alarms)
    old = topic.leader_ends([0])
    topic.log.extend(ids(92, 93))
    partitions.advance()
    partitions.advance()
    with monkeypatch.context() as patch:
        patch.setattr(topic, "leader_ends", lambda _: old)
        partitions.advance()
    assert (alarms.all(), lease.stored[0].next_offset) == ({}, 4)


def test_somebody_who_writes_all_the_time_keeps_no_partition_closed() -> None:
    """Ours are before the end that was asked for after the settling, whatever comes behind it."""
    lease, topic = lane(1), ScriptedTopic({0: ids(90)})
    partitions = a_read_back(lease, topic)
    for number in range(20):
        partitions.advance()
        topic.log.extend(ids(100 + 3 * number, 101 + 3 * number, 102 + 3 * number))
    partitions.drain()
    assert partitions.all_open


def test_the_next_leader_knows_how_many_partitions_a_topic_that_was_made_anew_has() -> None:
    """[K2] Also where nothing was sent to some of them; else keys would move."""
    alarms = Alarms()
    lease, topic = lane(2, stored={it: LogPosition(TOPIC, 5) for it in range(3)}), ScriptedTopic({0: [], 1: [], 2: []})
    topic.topic_id = NEW_TOPIC
    leader, partitions = a_leader(lease, topic)
    relay_all(lease, topic, leader, partitions)
    topic.off = {1: "has no leader"}
    following = looked(a_read_back(lease, topic, alarms=alarms))
    assert (following.count, set(alarms.all())) == (3, {"events_partition_1"})


def test_the_next_leader_knows_how_many_partitions_a_new_topic_has_though_one_was_not_heard() -> None:
    """[K2]"""
    lease, topic = lane(0, stored={}), ScriptedTopic({0: [], 1: [], 2: []}, off={2: "has no leader"})
    looked(a_read_back(lease, topic))
    assert looked(a_read_back(lease, topic)).count == 3


def test_a_lane_with_nothing_to_send_notices_that_its_topic_is_gone() -> None:
    lease, topic = lane(0), ScriptedTopic()
    partitions = looked(a_read_back(lease, topic))
    topic.gone = SendFailed("the topic is not there any more")
    with pytest.raises(SendFailed):
        partitions.advance()
