"""The relay against scripted rows and a scripted topic: what dies where, nothing is lost and nothing twice [K13]."""

import threading
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest
from prometheus_client import REGISTRY

from app.kafka import relay as module
from app.kafka.relay import CYCLE_SECONDS, Leader, Relay
from app.kafka.relay_ports import RecordRefused, SendFailed
from app.models.outgoing import LeaseLost, Portion
from app.utils.alarms import Alarms
from tests.unit.relays import a_leader, ids, lane, relay_all
from tests.unit.scripted_relay import ScriptedLease, ScriptedTopic, a_row


def a_relay(lease: ScriptedLease | None, topic: ScriptedTopic, alarms: Alarms | None = None, **other: Any) -> Relay:
    @contextmanager
    def leading(stop: threading.Event, beat: Callable[[], None]) -> Iterator[ScriptedLease | None]:
        if lease is None:
            beat()  # somebody else leads
        yield lease

    @contextmanager
    def opened() -> Iterator[ScriptedTopic]:
        yield topic

    given = {"poll_seconds": 0.01, "settle_seconds": 0.0, "batch_limit": 0} | other
    return Relay("events", leading, opened, alarms or Alarms(), **given, now=topic.clock)


def recover(lease: ScriptedLease, topic: ScriptedTopic) -> None:
    """What the next leader does: read back, then send what is left."""
    lease.dies_in_confirm, lease.lease, topic.after, topic.refuse, topic.owed = False, 1_000, None, {}, []
    relay_all(lease, topic)


def test_rows_leave_in_the_order_of_their_ids_and_are_forgotten() -> None:
    lease, topic = lane(5, limit=2), ScriptedTopic()
    assert relay_all(lease, topic) == [2, 2, 1, 0]
    assert (topic.log, lease.rows) == (ids(1, 2, 3, 4, 5), [])
    assert lease.stored[0].next_offset == 5


def test_only_the_rows_that_were_sent_are_forgotten() -> None:
    """A row with a lower id may commit in between."""
    lease, topic = lane(0), ScriptedTopic()
    lease.rows = [a_row(2)]
    leader, _ = a_leader(lease, topic)
    topic.on_send = lambda: lease.rows.insert(0, a_row(1))
    assert leader.step() == 1
    assert [row.id for row in lease.rows] == [1]


def test_the_wait_for_acknowledgements_keeps_the_lead_and_goes_on_as_long_as_it_may() -> None:
    kept: list[str] = []
    lease, topic = lane(1), ScriptedTopic()
    _, partitions = a_leader(lease, topic)
    held = lease.renewals
    Leader("events", lease, topic, partitions, lambda: kept.append("on")).step()
    assert (lease.renewals - held, kept) == (1, ["on"])


def test_a_crash_between_acknowledgement_and_forgetting_leaves_no_twin() -> None:
    """[K13]"""
    lease, topic = lane(3, dies_in_confirm=True), ScriptedTopic()
    with pytest.raises(LeaseLost):
        relay_all(lease, topic)
    assert len(lease.rows) == 3
    recover(lease, topic)
    assert (topic.log, lease.rows) == (ids(1, 2, 3), [])


@pytest.mark.parametrize("record", [1, 2, 3])
def test_a_send_that_fails_half_way_is_taken_up_where_it_stopped(record: int) -> None:
    """[K13]"""
    lease, topic = lane(3), ScriptedTopic(refuse={record: SendFailed("gone")})
    with pytest.raises(SendFailed):
        relay_all(lease, topic)
    assert len(lease.rows) == 3
    recover(lease, topic)
    assert topic.log == ids(1, 2, 3)
    assert lease.noted == set(ids(*range(1, record)))


@pytest.mark.parametrize("checks", [0, 1, 2])
def test_nothing_is_sent_once_the_lease_ran_out(checks: int) -> None:
    """A frozen leader that wakes up finds its lease too old."""
    lease, topic = lane(3, lease=checks), ScriptedTopic()
    with pytest.raises(LeaseLost):
        relay_all(lease, topic)
    assert topic.log == ids(*range(1, checks + 1))
    recover(lease, topic)
    assert topic.log == ids(1, 2, 3)


def test_a_row_that_comes_again_after_the_read_back_is_not_sent_again() -> None:
    """The database went back to an older state, and a command was done again. [K13]"""
    lease, topic = lane(0), ScriptedTopic({0: ids(1, 2)})
    leader, _ = a_leader(lease, topic)
    for again in ([a_row(2), a_row(3)], [a_row(1)]):
        lease.rows = list(again)
        assert leader.step() == len(again)
        assert (topic.log, lease.rows) == (ids(1, 2, 3), [])


# Partitions that cannot be written to


def test_a_partition_without_a_leader_holds_up_no_other() -> None:
    lease, topic = lane(6, limit=2), ScriptedTopic({0: [], 1: []}, off={1: "has no leader"})
    relay_all(lease, topic)
    assert topic.logs == {0: ids(2, 4, 6), 1: []}
    assert (lease.rows, [row.event_id for row in lease.waiting[1]]) == ([], ids(1, 3, 5))


def test_what_waited_for_its_partition_leaves_before_what_came_later() -> None:
    lease, topic = lane(6, limit=2), ScriptedTopic({0: [], 1: []}, off={1: "has no leader"})
    leader, partitions = a_leader(lease, topic)
    relay_all(lease, topic, leader, partitions)
    topic.off = {}
    lease.rows = [a_row(number) for number in (7, 8, 9)]
    relay_all(lease, topic, leader, partitions)
    assert topic.logs == {0: ids(2, 4, 6, 8), 1: ids(1, 3, 5, 7, 9)}
    assert (lease.rows, lease.waiting[1]) == ([], [])


def test_rows_that_an_earlier_leader_set_aside_leave_first() -> None:
    lease, topic = lane(3), ScriptedTopic({0: [], 1: []})
    lease.set_aside(1, [1])
    relay_all(lease, topic)
    assert topic.logs == {0: ids(2), 1: ids(1, 3)}


def test_a_partition_that_does_not_acknowledge_holds_up_no_other() -> None:
    """Its records stay with the producer, and are forgotten once they are acknowledged; none is sent again. [K13]"""
    lease, topic = lane(4, limit=2), ScriptedTopic({0: [], 1: []}, silent={1})
    leader, partitions = a_leader(lease, topic)
    relay_all(lease, topic, leader, partitions)
    assert topic.logs == {0: ids(2, 4), 1: ids(1)}
    topic.silent = set()
    lease.rows = [a_row(5), a_row(6)]
    relay_all(lease, topic, leader, partitions)
    assert topic.logs == {0: ids(2, 4, 6), 1: ids(1, 3, 5)}
    assert (lease.rows, lease.waiting[1], lease.noted) == ([], [], set())


def test_late_records_of_a_leader_that_died_are_read_back() -> None:
    """[K13]"""
    lease, topic = lane(4, limit=2), ScriptedTopic({0: [], 1: []}, silent={1})
    relay_all(lease, topic)
    topic.silent = set()
    recover(lease, topic)
    assert topic.logs == {0: ids(2, 4), 1: ids(1, 3)}
    assert lease.waiting[1] == []


def test_no_row_is_touched_while_no_partition_can_be_written_to() -> None:
    """A broker that is away for an hour must not have the whole backlog set aside."""
    lease, topic = lane(4, limit=2), ScriptedTopic({0: [], 1: []}, off={0: "has no leader", 1: "has no leader"})
    assert relay_all(lease, topic) == [0]
    assert (len(lease.rows), lease.waiting) == (4, {})


# The thread


def test_a_leader_reads_back_and_relays_until_it_is_stopped() -> None:
    stop, beats = threading.Event(), []
    lease, topic = lane(3, limit=2), ScriptedTopic({0: ids(1)})
    topic.on_send = lambda: stop.set() if len(topic.log) == 3 else None
    relay = a_relay(lease, topic)
    relay.run(stop, lambda: beats.append(relay.leading))
    assert (topic.log, lease.rows, relay.leading) == (ids(1, 2, 3), [], False)
    assert all(beats)


def test_a_relay_that_is_stopped_before_it_leads_does_nothing() -> None:
    relay, topic = a_relay(None, ScriptedTopic()), ScriptedTopic()
    relay.run(threading.Event(), lambda: None)
    assert (relay.leading, topic.log) == (False, [])


def test_a_relay_that_stands_by_is_counted_as_no_leader() -> None:
    """Without the series nobody could tell a lane without a leader from a service that is not scraped."""
    relay = a_relay(None, ScriptedTopic())
    relay.lane = "standing by"
    relay.run(threading.Event(), lambda: None)
    assert REGISTRY.get_sample_value("order_relay_leader", {"lane": "standing by"}) == 0


def test_a_wake_up_during_a_step_is_not_lost() -> None:
    stop = threading.Event()
    lease, topic = lane(1), ScriptedTopic()
    relay = a_relay(lease, topic, poll_seconds=60)

    def another_commits() -> None:
        if len(topic.log) == 1:
            lease.rows.append(a_row(2))
        else:
            stop.set()
        relay.wake()

    topic.on_send = another_commits
    relay.run(stop, lambda: None)
    assert topic.log == ids(1, 2)


class Pauses(threading.Event):
    """A stop that notes how long was waited for it, and ends the run at last."""

    def __init__(self, topic: ScriptedTopic, most: int) -> None:
        super().__init__()
        self.taken: list[float] = []
        self._topic = topic
        self._most = most

    def wait(self, timeout: float | None = None) -> bool:
        self.taken.append(timeout or 0.0)
        return super().wait(0)

    def is_set(self) -> bool:
        return len(self._topic.log) >= self._most or super().is_set()


@pytest.mark.parametrize(
    ("rows", "batch_limit", "pauses"),
    [(1, 500, 0), (2, 500, 1), (4, 500, 2), (4, 2, 0)],
    ids=["one", "two", "four", "full"],
)
def test_a_batch_that_could_have_been_larger_is_followed_by_a_pause(rows: int, batch_limit: int, pauses: int) -> None:
    """A single row is no load; a full batch leaves others behind, who wait already."""
    lease, topic = lane(rows, limit=2), ScriptedTopic()
    stop = Pauses(topic, rows)
    a_relay(lease, topic, batch_limit=batch_limit).run(stop, lambda: None)
    assert topic.log == ids(*range(1, rows + 1))
    assert len(stop.taken) == pauses
    assert all(0 <= seconds <= CYCLE_SECONDS for seconds in stop.taken)


def test_a_relay_that_is_stopped_amid_a_read_back_stops_after_the_portion() -> None:
    """And the next one goes on there."""
    stop = threading.Event()
    lease, topic = lane(1, limit=2), ScriptedTopic({0: ids(*range(50, 70))})
    read = topic.read

    def stop_and_read(places: Mapping[int, int]) -> Mapping[int, Portion]:
        stop.set()
        return read(places)

    topic.read = stop_and_read
    a_relay(lease, topic).run(stop, lambda: None)
    assert (topic.reads, lease.stored[0].next_offset) == ([(0, 0)], 2)
    recover(lease, topic)
    assert topic.reads == [(0, place) for place in range(0, 20, 2)]


def test_who_stands_by_for_long_takes_its_own_alarm_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another leader got past the record; nobody else would ever take the alarm back."""
    alarms, stop, nothing = Alarms(), threading.Event(), ScriptedTopic()
    alarms.ring("relay_events", "Kafka refuses record 1 for good")
    a_relay(None, nothing, alarms).run(stop, lambda: None)
    assert alarms.all()
    monkeypatch.setattr("app.kafka.relay.STUCK_SECONDS", 0.0)
    a_relay(None, nothing, alarms).run(stop, lambda: None)
    assert not alarms.all()


def test_a_record_that_is_refused_for_good_rings_an_alarm_until_it_gets_through() -> None:
    alarms, stop = Alarms(), threading.Event()
    lease, topic = lane(2), ScriptedTopic(refuse={2: RecordRefused("Kafka refuses record 2 for good", *ids(2))})
    relay = a_relay(lease, topic, alarms)
    with pytest.raises(RecordRefused):
        relay.run(stop, lambda: None)
    assert (alarms.all(), relay.leading) == ({"relay_events": "Kafka refuses record 2 for good"}, False)
    assert lease.refused == ids(2)
    topic.refuse, topic.on_send = {}, stop.set
    relay.run(stop, lambda: None)
    assert (alarms.all(), topic.log) == ({}, ids(1, 2))


def test_dead_letters_that_their_topic_refuses_are_passed_by_within_one_lead() -> None:
    """[K10] No order is promised in that lane; whatever left with a refused one is read back."""
    alarms, stop = Alarms(), threading.Event()
    refusals: dict[int, Exception] = {
        number: RecordRefused(f"Kafka refuses record {number} for good", uuid.UUID(int=number)) for number in (2, 3)
    }
    lease, topic = lane(4, leaves_out=True), ScriptedTopic(refuse=refusals)
    topic.on_send = stop.set
    a_relay(lease, topic, alarms).run(stop, lambda: None)
    assert list(alarms.all()) == ["events_refused"]
    assert (lease.refused, topic.log, lease.rows) == (ids(2, 3), ids(1, 4), [])


@pytest.mark.parametrize("error", [SendFailed("timeout"), LeaseLost("killed")])
def test_other_trouble_ends_the_run_without_an_alarm_and_the_next_run_reads_back(error: Exception) -> None:
    """[K13]"""
    alarms, stop = Alarms(), threading.Event()
    lease, topic = lane(2), ScriptedTopic(after=error)
    with pytest.raises(type(error)):
        a_relay(lease, topic, alarms).run(stop, lambda: None)
    topic.after = None
    lease.rows.append(a_row(3))
    topic.on_send = stop.set
    a_relay(lease, topic, alarms).run(stop, lambda: None)
    assert (alarms.all(), topic.log) == ({}, ids(1, 2, 3))


@pytest.mark.parametrize(("patience", "confirmed"), [(0.0, False), (60.0, True)])
def test_a_relay_that_is_stopped_waits_for_acknowledgements_only_for_a_while(
    patience: float, confirmed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RELAY_STOP_SECONDS", patience)
    stop = threading.Event()
    lease, topic = lane(1), ScriptedTopic()
    relay = a_relay(lease, topic)
    sent = topic.send

    def send(records: Any, require_valid: Any, renew: Any) -> Any:
        stop.set()
        return sent(records, require_valid, renew)

    topic.send = send
    if confirmed:
        relay.run(stop, lambda: None)
    else:
        with pytest.raises(SendFailed):
            relay.run(stop, lambda: None)
    assert (lease.rows == []) is confirmed
