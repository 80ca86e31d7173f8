"""The relay against scripted rows and a scripted topic: what dies where, nothing is lost and nothing twice [K13]."""

import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from app.services import relay as module
from app.services.alarms import Alarms
from app.services.relay import (
    LeadLost,
    Position,
    RecordRefused,
    Relay,
    SendFailed,
    read_back,
    relay_batch,
    where_to_read,
)
from tests.unit.scripted_relay import NEW_TOPIC, TOPIC, ScriptedLead, ScriptedTopic, a_row


def lane(count: int, **lead: object) -> ScriptedLead:
    """A lane of `count` rows that was relayed before."""
    given: dict[str, object] = {"stored": {0: Position(TOPIC, 0)}} | lead
    return ScriptedLead([a_row(number) for number in range(1, count + 1)], **given)  # type: ignore[arg-type]


def ids(*numbers: int) -> list[uuid.UUID]:
    return [uuid.UUID(int=number) for number in numbers]


def recover(lead: ScriptedLead, topic: ScriptedTopic) -> int:
    """What the next leader does: read back, then send what is left."""
    lead.dies_in_confirm, lead.lease, topic.after, topic.refuse = False, 1_000, None, {}
    removed = read_back("events", lead, topic, lambda: None)
    while relay_batch(lead, topic):
        pass
    return removed


def a_relay(lead: ScriptedLead | None, topic: ScriptedTopic, alarms: Alarms | None = None, **other: float) -> Relay:
    @contextmanager
    def leading(stop: threading.Event, beat: Callable[[], None]) -> Iterator[ScriptedLead | None]:
        if lead is None:
            beat()  # somebody else leads
        yield lead

    @contextmanager
    def opened() -> Iterator[ScriptedTopic]:
        yield topic

    seconds = {"poll_seconds": 0.01, "settle_seconds": 0.0} | other
    return Relay("events", leading, opened, alarms or Alarms(), **seconds)


def test_rows_leave_in_the_order_of_their_ids_and_are_forgotten() -> None:
    lead, topic = lane(5, limit=2), ScriptedTopic()
    assert [relay_batch(lead, topic) for _ in range(4)] == [2, 2, 1, 0]
    assert (topic.log, lead.rows) == (ids(1, 2, 3, 4, 5), [])
    assert lead.stored == {0: Position(TOPIC, 5)}


def test_only_the_rows_that_were_sent_are_forgotten() -> None:
    """A row with a lower id may commit in between."""
    lead, topic = lane(0), ScriptedTopic()
    lead.rows = [a_row(2)]
    topic.on_send = lambda: lead.rows.insert(0, a_row(1))
    assert relay_batch(lead, topic) == 1
    assert [row.id for row in lead.rows] == [1]


def test_the_wait_for_acknowledgements_keeps_the_lead_and_goes_on_as_long_as_it_may() -> None:
    kept: list[str] = []
    lead = lane(1)
    relay_batch(lead, ScriptedTopic(), lambda: kept.append("on"))
    assert (lead.holds, kept) == (1, ["on"])


def test_a_crash_between_acknowledgement_and_forgetting_leaves_no_twin() -> None:
    """[K13]"""
    lead, topic = lane(3, dies_in_confirm=True), ScriptedTopic()
    with pytest.raises(LeadLost):
        relay_batch(lead, topic)
    assert len(lead.rows) == 3
    assert recover(lead, topic) == 3
    assert topic.log == ids(1, 2, 3)


@pytest.mark.parametrize("record", [1, 2, 3])
def test_a_send_that_fails_half_way_is_taken_up_where_it_stopped(record: int) -> None:
    """[K13]"""
    lead, topic = lane(3), ScriptedTopic(refuse={record: SendFailed("gone")})
    with pytest.raises(SendFailed):
        relay_batch(lead, topic)
    assert len(lead.rows) == 3
    assert recover(lead, topic) == record - 1
    assert topic.log == ids(1, 2, 3)


@pytest.mark.parametrize("checks", [0, 1, 2])
def test_nothing_is_sent_once_the_lease_ran_out(checks: int) -> None:
    """A frozen leader that wakes up finds its lease too old."""
    lead, topic = lane(3, lease=checks), ScriptedTopic()
    with pytest.raises(LeadLost):
        relay_batch(lead, topic)
    assert topic.log == ids(*range(1, checks + 1))
    recover(lead, topic)
    assert topic.log == ids(1, 2, 3)


def test_reading_back_begins_at_the_stored_position() -> None:
    lead, topic = lane(2, stored={0: Position(TOPIC, 3)}), ScriptedTopic(ids(90, 91, 92, 1, 93))
    assert read_back("events", lead, topic, lambda: None) == 1
    assert topic.reads == [(3, 5)]
    assert [row.id for row in lead.rows] == [2]
    assert lead.stored == {0: Position(TOPIC, 5)}


def test_the_first_relay_of_a_topic_stores_its_ends_and_reads_nothing() -> None:
    """Nothing of ours can be in it: another service's history is not read through."""
    lead, topic = lane(2, stored={}), ScriptedTopic(ids(90, 91))
    assert read_back("events", lead, topic, lambda: None) == 0
    assert (topic.reads, lead.stored) == ([], {0: Position(TOPIC, 2)})


def test_an_empty_outbox_does_not_settle() -> None:
    settled: list[str] = []
    lead, topic = lane(0), ScriptedTopic(ids(90))
    assert read_back("events", lead, topic, lambda: settled.append("x")) == 0
    assert (settled, topic.reads, lead.stored) == ([], [(0, 1)], {0: Position(TOPIC, 1)})


def test_positions_at_the_ends_need_no_reading() -> None:
    lead, topic = lane(1, stored={0: Position(TOPIC, 2)}), ScriptedTopic(ids(90, 91))
    assert read_back("events", lead, topic, lambda: None) == 0
    assert topic.reads == []


def test_a_row_that_comes_again_after_the_read_back_is_not_sent_again() -> None:
    """The database went back to an older state, and a command was done again. [K13]"""
    lead, topic = lane(0), ScriptedTopic(ids(1, 2))
    known: set[uuid.UUID] = set()
    read_back("events", lead, topic, lambda: None, known)
    lead.rows = [a_row(2), a_row(3)]
    assert relay_batch(lead, topic, known=known) == 2
    assert (topic.log, lead.rows) == (ids(1, 2, 3), [])
    lead.rows = [a_row(1)]
    assert relay_batch(lead, topic, known=known) == 1
    assert (topic.log, lead.rows) == (ids(1, 2, 3), [])


def test_what_is_remembered_of_the_log_has_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_KNOWN", 3)
    known: set[uuid.UUID] = set()
    read_back("events", lane(0), ScriptedTopic(ids(1, 2, 3, 4)), lambda: None, known)
    assert known == set(ids(1, 2))


def test_stray_sends_land_while_it_settles_and_are_found() -> None:
    """[K13] The ends are asked for after the settling."""
    lead, topic = lane(2), ScriptedTopic()
    assert read_back("events", lead, topic, lambda: topic.log.extend(ids(1))) == 1
    assert [row.id for row in lead.rows] == [2]


def test_reading_back_proves_that_the_leader_lives() -> None:
    lead = lane(1)
    read_back("events", lead, ScriptedTopic(ids(*range(50, 60))), lambda: None)
    assert lead.holds == 5


def test_a_topic_made_anew_is_read_from_its_beginning() -> None:
    stored = {0: Position(TOPIC, 9), 1: Position(NEW_TOPIC, 4)}
    ends = {0: Position(NEW_TOPIC, 2), 1: Position(NEW_TOPIC, 6), 2: Position(NEW_TOPIC, 1)}
    expected = {0: Position(NEW_TOPIC, 0), 1: Position(NEW_TOPIC, 4), 2: Position(NEW_TOPIC, 0)}
    assert where_to_read(stored, ends) == expected


def test_a_partition_that_is_gone_is_not_read() -> None:
    assert where_to_read({0: Position(TOPIC, 1), 7: Position(TOPIC, 1)}, {0: Position(TOPIC, 2)}) == {
        0: Position(TOPIC, 1)
    }


def test_a_leader_reads_back_and_relays_until_it_is_stopped() -> None:
    stop, beats = threading.Event(), []
    lead, topic = lane(3, limit=2), ScriptedTopic(ids(1))
    topic.on_send = lambda: stop.set() if len(topic.log) == 3 else None
    relay = a_relay(lead, topic)
    relay.run(stop, lambda: beats.append(relay.leading))
    assert (topic.log, lead.rows, relay.leading) == (ids(1, 2, 3), [], False)
    assert all(beats)


def test_a_relay_that_is_stopped_before_it_leads_does_nothing() -> None:
    relay, topic = a_relay(None, ScriptedTopic()), ScriptedTopic()
    relay.run(threading.Event(), lambda: None)
    assert (relay.leading, topic.log) == (False, [])


def test_a_wake_up_during_a_step_is_not_lost() -> None:
    stop = threading.Event()
    lead, topic = lane(1), ScriptedTopic()
    relay = a_relay(lead, topic, poll_seconds=60)

    def another_commits() -> None:
        if len(topic.log) == 1:
            lead.rows.append(a_row(2))
        else:
            stop.set()
        relay.wake()

    topic.on_send = another_commits
    relay.run(stop, lambda: None)
    assert topic.log == ids(1, 2)


def test_who_stands_by_for_long_takes_its_own_alarm_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another leader got past the record; nobody else would ever take the alarm back."""
    alarms, stop, nothing = Alarms(), threading.Event(), ScriptedTopic()
    alarms.ring("relay_events", "Kafka refuses record 1 for good")
    a_relay(None, nothing, alarms).run(stop, lambda: None)
    assert alarms.all()
    monkeypatch.setattr("app.services.relay.STUCK_SECONDS", 0.0)
    a_relay(None, nothing, alarms).run(stop, lambda: None)
    assert not alarms.all()


def test_a_record_that_is_refused_for_good_rings_an_alarm_until_it_gets_through() -> None:
    alarms, stop = Alarms(), threading.Event()
    lead, topic = lane(2), ScriptedTopic(refuse={2: RecordRefused("Kafka refuses record 2 for good")})
    relay = a_relay(lead, topic, alarms)
    with pytest.raises(RecordRefused):
        relay.run(stop, lambda: None)
    assert (alarms.all(), relay.leading) == ({"relay_events": "Kafka refuses record 2 for good"}, False)
    topic.refuse, topic.on_send = {}, stop.set
    relay.run(stop, lambda: None)
    assert (alarms.all(), topic.log) == ({}, ids(1, 2))


@pytest.mark.parametrize("error", [SendFailed("timeout"), LeadLost("killed")])
def test_other_trouble_ends_the_run_without_an_alarm_and_the_next_run_reads_back(error: Exception) -> None:
    """[K13]"""
    alarms, stop = Alarms(), threading.Event()
    lead, topic = lane(2), ScriptedTopic(after=error)
    with pytest.raises(type(error)):
        a_relay(lead, topic, alarms).run(stop, lambda: None)
    topic.after = None
    lead.rows.append(a_row(3))
    topic.on_send = stop.set
    a_relay(lead, topic, alarms).run(stop, lambda: None)
    assert (alarms.all(), topic.log) == ({}, ids(1, 2, 3))


@pytest.mark.parametrize(("patience", "confirmed"), [(0.0, False), (60.0, True)])
def test_a_relay_that_is_stopped_waits_for_acknowledgements_only_for_a_while(
    patience: float, confirmed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "STOP_PATIENCE_SECONDS", patience)
    stop = threading.Event()
    lead, topic = lane(1), ScriptedTopic()
    lead.hold = stop.set  # type: ignore[method-assign]
    relay = a_relay(lead, topic)
    if confirmed:
        relay.run(stop, lambda: None)
    else:
        with pytest.raises(SendFailed):
            relay.run(stop, lambda: None)
    assert (lead.rows == []) is confirmed
