"""The consumer against a scripted log and store: every command once, in order, whatever the two disagree about."""

import uuid
from collections.abc import Callable
from typing import Any

import pytest

from app.kafka import batch_sizes
from app.kafka.batch_sizes import BATCH_BYTES, BatchSizes
from app.kafka.command_ports import StaleTopic
from app.kafka.command_trouble import DEAD_LETTERS_IN_A_ROW, GIVE_UPS_IN_A_ROW, Breaker, WaitingCommands
from app.kafka.consumer import LOOKS_BEFORE_ALARM, LOOKS_BEFORE_NEW_CLIENT, CommandConsumer
from app.kafka.log_check import GoOn, Halt, where_to_go_on
from app.models.records import StoredOffset
from tests.unit.scripted_commands import OTHER_TOPIC, TOPIC, ScriptedLog, Sent
from tests.unit.stage import IDENTITY_DAYS, Stage


@pytest.mark.parametrize(
    ("stored", "topic_id", "log", "expected"),
    [
        ((TOPIC, 5), TOPIC, (0, 9), GoOn(5)),
        ((TOPIC, 5), TOPIC, (5, 5), GoOn(5)),
        ((TOPIC, 9), TOPIC, (0, 9), GoOn(9)),
        ((TOPIC, 10), TOPIC, (0, 9), Halt("The log ends at 9, before the stored offset 10")),
    ],
)
def test_where_to_go_on(
    stored: tuple[uuid.UUID, int], topic_id: uuid.UUID, log: tuple[int, int], expected: GoOn | Halt
) -> None:
    """[K11]"""
    assert where_to_go_on(StoredOffset(*stored), topic_id, *log) == expected


def test_a_topic_that_was_made_anew_is_handled_from_its_beginning() -> None:
    found = where_to_go_on(StoredOffset(TOPIC, 5), OTHER_TOPIC, 2, 3)
    assert found == GoOn(
        2, "The topic was made anew; handling it from its beginning", changed=True, kind="topic_made_anew"
    )


def test_a_client_that_still_knows_the_old_topic_does_not_bring_it_back() -> None:
    """Another instance has stored the new topic's id already."""
    stage = Stage({0: [0]}, newest_id=OTHER_TOPIC)
    stage.store.offsets[0] = StoredOffset(OTHER_TOPIC, 7)
    with pytest.raises(StaleTopic):
        stage.consumer.step()
    assert stage.store.offsets[0] == StoredOffset(OTHER_TOPIC, 7)
    assert (stage.handled(), stage.alarms.all()) == ([], {})


def test_what_retention_deleted_is_told() -> None:
    sentence = "The log begins at 7: the commands from 5 on were deleted unhandled"
    assert where_to_go_on(StoredOffset(TOPIC, 5), TOPIC, 7, 9) == GoOn(7, sentence, changed=True, kind="commands_lost")


def test_every_command_is_handled_once_and_in_order() -> None:
    """[K8]"""
    stage = Stage({0: list(range(25)), 1: list(range(7))}, limit=3).play()
    assert (stage.handled(0), stage.handled(1)) == (list(range(25)), list(range(7)))
    assert stage.log.group == {0: 25, 1: 7}


@pytest.mark.parametrize(
    ("sizes", "cut"),
    [
        ([1, 1, 1], [3]),
        ([BATCH_BYTES, 1], [1, 1]),
        ([BATCH_BYTES + 1], [1]),
        ([1, BATCH_BYTES + 1, 1, BATCH_BYTES - 1, 1], [1, 1, 2, 1]),
        ([None, BATCH_BYTES, None], [3]),
    ],
)
def test_a_batch_is_bounded_in_bytes_and_has_one_record_at_least(sizes: list[int | None], cut: list[int]) -> None:
    records = [Sent(offset, value=None if size is None else bytes(size)) for offset, size in enumerate(sizes)]
    found = list(BatchSizes().split(0, records))
    assert [len(batch) for batch in found] == cut
    assert [record for batch in found for record in batch] == records


def test_keys_count_too() -> None:
    records = [Sent(offset, key=bytes(BATCH_BYTES // 2), value=b"{}") for offset in range(2)]
    assert [len(batch) for batch in BatchSizes().split(0, records)] == [1, 1]


@pytest.mark.parametrize("bugs", [set(), {0}, {2}, {4}])
def test_large_commands_are_handled_once_and_in_order_in_several_batches(
    bugs: set[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch_sizes, "BATCH_BYTES", 4)  # two of the scripted commands
    stage = Stage({0: [0, 1, 2, 3, 4, 6]})
    stage.store.bugs = bugs
    assert stage.play().handled() == [0, 1, 2, 3, 4, 6]
    assert stage.store.given_up == sorted(bugs)
    assert max(stage.store.sizes) == 2


def test_a_step_tells_whether_anything_came() -> None:
    stage = Stage({0: [0]})
    assert [stage.consumer.step() for _ in range(4)][-1] is False
    assert stage.handled() == [0]


def test_the_first_start_begins_where_the_group_stood() -> None:
    """[K11]"""
    stage = Stage({0: [0, 1, 2, 3]}, group={0: 2}).play()
    assert stage.handled() == [2, 3]


def test_the_first_start_without_a_group_begins_at_the_logs_beginning() -> None:
    """[K11]"""
    assert Stage({0: [4, 5]}, begins={0: 4}).play().handled() == [4, 5]


def test_the_stored_offset_counts_and_not_the_groups() -> None:
    """[K11] Behind it (a commit was lost) and before it (the database was restored)."""
    assert Stage({0: list(range(9))}, {0: 5}, group={0: 2}).play().handled() == [5, 6, 7, 8]
    assert Stage({0: list(range(9))}, {0: 2}, group={0: 5}).play().handled() == [2, 3, 4, 5, 6, 7, 8]


@pytest.mark.parametrize("limit", [1, 2, 100])
def test_a_gap_in_the_log_is_stepped_over(limit: int) -> None:
    """Transaction markers and compaction leave such gaps."""
    stage = Stage({0: [3, 4, 7, 8, 12]}, {0: 1}, limit=limit).play(20)
    assert stage.handled() == [3, 4, 7, 8, 12]
    assert stage.store.offsets[0].next_offset == 13


def test_a_redelivery_is_not_handled_again() -> None:
    """[K8] After a rebalance the client begins at the group's offset, which lags behind."""
    stage = Stage({0: list(range(4))}).play()
    stage.log.group[0] = 1
    stage.log.assign(0)
    stage.log.records[0] += [4, 5]
    assert stage.play().handled() == [0, 1, 2, 3, 4, 5]


def test_what_another_instance_handled_meanwhile_is_not_handled_again() -> None:
    """A zombie that wakes up late finds the row moved."""
    stage = Stage({0: list(range(4))})
    stage.play(3)
    stage.store.offsets[0] = StoredOffset(TOPIC, 6)
    stage.log.records[0] += [4, 5, 6, 7]
    assert stage.play().handled() == [0, 1, 2, 3, 6, 7]


def test_a_partition_that_is_lost_is_left_alone() -> None:
    stage = Stage({0: [0, 1], 1: [0, 1]}).play()
    stage.log.assign(1)
    stage.log.records[0].append(2)
    stage.log.records[1].append(2)
    assert (stage.play().handled(0), stage.handled(1)) == ([0, 1], [0, 1, 2])


def test_a_partition_that_comes_back_goes_on_from_the_stored_offset() -> None:
    stage = Stage({0: [0, 1], 1: [0]}).play()
    stage.log.assign(1)
    stage.play()
    stage.store.offsets[0] = StoredOffset(TOPIC, 4)
    stage.log.records[0] += [2, 3, 4]
    stage.log.assign(0, 1)
    assert stage.play().handled(0) == [0, 1, 4]


def test_database_trouble_loses_and_repeats_nothing() -> None:
    """[K7] Commands wait."""
    stage = Stage({0: list(range(9))}, limit=2).play(3)
    stage.store.away = True
    assert not any(stage.step() for _ in range(3))
    stage.store.away = False
    assert stage.play().handled() == list(range(9))


@pytest.mark.parametrize("steps", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("broken", [0, 1])
@pytest.mark.parametrize("length", [1, 2, 3])
def test_trouble_with_one_partition_loses_nothing_of_another(steps: int, broken: int, length: int) -> None:
    """[K7] [K10] Records that were polled, and not taken because of the trouble, come again."""
    stage = Stage({0: list(range(9)), 1: list(range(9))}, limit=2).play(steps - 1)
    for _ in range(2):
        stage.store.away_for = {broken}
        stage.play(length)
        stage.store.away_for = set()
        stage.step()
    stage.play(20)
    assert (stage.handled(0), stage.handled(1)) == (list(range(9)), list(range(9)))


def test_trouble_while_a_new_partition_is_looked_up_loses_nothing_of_the_others() -> None:
    """[K10]"""
    stage = Stage({0: list(range(9)), 1: list(range(9))}, limit=2)
    stage.store.away_for = {1}
    stage.play(4)
    stage.store.away_for = set()
    stage.play(20)
    assert (stage.handled(0), stage.handled(1)) == (list(range(9)), list(range(9)))


def test_the_one_command_that_cannot_be_handled_is_found_and_answered() -> None:
    """[K10] None stops its neighbours."""
    stage = Stage({0: list(range(6))})
    stage.store.bugs = {3}
    stage.play()
    assert (stage.handled(), stage.store.given_up) == ([0, 1, 2, 3, 4, 5], [3])
    [(name, sentence)] = stage.alarms.all().items()
    assert name == "command_given_up_0_3"
    assert sentence.startswith("Command 0/3 was given up and answered with a failure: ")


def test_a_batch_that_failed_once_is_tried_again_whole() -> None:
    """A fault that passes costs nobody their answer."""
    stage = Stage({0: list(range(6))})
    stage.store.bugs = {3}
    stage.play(2)
    stage.store.bugs = set()
    stage.play()
    assert (stage.handled(), stage.store.given_up) == (list(range(6)), [])
    assert stage.store.sizes[-1] == 6


def test_trouble_in_the_search_for_poison_repeats_nothing() -> None:
    stage = Stage({0: list(range(4)), 1: list(range(4))})
    stage.store.bugs = {2}
    calls = []
    really = stage.store.handle

    def handle(*arguments: Any, **options: Any) -> int:
        calls.append(arguments)
        stage.store.away = len(calls) in (6, 7)
        return really(*arguments, **options)

    stage.store.handle = handle
    for _ in range(15):
        stage.store.away = False
        stage.step()
    assert (stage.handled(0), stage.handled(1)) == ([0, 1, 2, 3], [0, 1, 2, 3])
    assert stage.store.given_up == [2, 2]


def test_no_command_is_given_up_where_not_even_a_sample_can_be_handled() -> None:
    """[K7] The fault is the service's: an answer would be one for good."""
    stage = Stage({0: list(range(6))})
    stage.store.unfit = True
    assert stage.play().store.given_up == []
    stage.store.unfit = False
    assert (stage.play().handled(), stage.store.given_up) == (list(range(6)), [])


def test_more_than_a_few_in_a_row_are_not_given_up() -> None:
    """[K7]"""
    stage = Stage({0: list(range(9))})
    stage.store.bugs = set(range(9))
    assert len(stage.play(40).store.given_up) == GIVE_UPS_IN_A_ROW
    stage.store.bugs = set()
    assert stage.play().handled() == list(range(9))


def test_those_given_up_are_in_a_row_for_every_consumer_of_the_process() -> None:
    """[K7] A new client builds a new one."""
    stage = Stage({0: list(range(9))})
    stage.store.bugs = set(range(9))
    breaker = Breaker()
    for _ in range(3):
        stage.consumer = CommandConsumer(stage.log, stage.store, stage.store, stage.alarms, breaker, IDENTITY_DAYS)
        stage.log.assign(0)
        stage.play(20)
    assert len(stage.store.given_up) == GIVE_UPS_IN_A_ROW


def test_commands_that_are_handled_between_them_let_any_number_be_given_up() -> None:
    """[K10]"""
    stage = Stage({0: list(range(40))})
    stage.store.bugs = set(range(0, 40, 2))
    assert (stage.play(40).handled(), stage.store.given_up) == (list(range(40)), list(range(0, 40, 2)))


def test_a_partition_whose_commands_wait_does_not_hold_up_the_others() -> None:
    """[K10] PostgreSQL may be unable to read one order's row, for example."""
    stage = Stage({0: list(range(9)), 1: list(range(9))}, limit=2)
    stage.store.away_for = {0}
    stage.play(2)
    stage.store.away_for = set()
    stage.play(2)
    stage.store.away_for_batches = {0}
    stage.play(20)
    assert (len(stage.handled(0)) < 9, stage.handled(1)) == (True, list(range(9)))
    stage.store.away_for_batches = set()
    assert stage.play(20).handled(0) == list(range(9))


def test_commands_that_wait_ring_with_the_reason_until_they_are_handled() -> None:
    """[K7]"""
    stage = Stage({0: [0, 1], 1: [0]}).play()
    stage.consumer._waiting = WaitingCommands(stage.alarms, 0.0)
    stage.log.records[0].append(2)
    stage.store.away_for_batches = {0}
    assert stage.play(4).alarms.all() == {"commands_wait_0": "Commands of partition 0 wait: the disk is full"}
    stage.store.away_for_batches = set()
    assert stage.play(4).alarms.all() == {}


def test_an_offset_that_cannot_be_looked_up_rings_until_it_can() -> None:
    """Also where no command waits behind it."""
    stage = Stage({0: []})
    stage.consumer._waiting = WaitingCommands(stage.alarms, 0.0)
    stage.store.away = True
    assert list(stage.play(2).alarms.all()) == ["commands_wait_0"]
    stage.store.away = False
    assert stage.play(2).alarms.all() == {}


def test_who_loses_a_partition_takes_back_that_its_commands_wait() -> None:
    stage = Stage({0: [0], 1: []})
    stage.consumer._waiting = WaitingCommands(stage.alarms, 0.0)
    stage.store.away_for_batches = {0}
    assert list(stage.play(2).alarms.all()) == ["commands_wait_0"]
    stage.log.assign(1)
    assert stage.play(1).alarms.all() == {}


def test_a_batch_that_takes_too_long_is_halved_until_it_works_and_grows_again() -> None:
    stage = Stage({0: list(range(64))}, {0: 0}, limit=8)
    stage.store.most = 2
    stage.play(20)
    assert (stage.handled()[:8], max(stage.store.worked)) == (list(range(8)), 2)
    stage.store.most = 100
    stage.play(40)
    assert (stage.handled(), max(stage.store.worked)) == (list(range(64)), 8)


def test_batches_grow_again_within_one_poll() -> None:
    """Else 500 commands would be as many transactions after each time-out."""
    stage = Stage({0: list(range(64))}, {0: 0}, limit=64)
    stage.store.most = 2
    stage.play(8)
    stage.store.most, stage.store.worked = 100, []
    stage.play(2)
    assert stage.handled() == list(range(64))
    assert len(stage.store.worked) < 10


def test_many_dead_letters_in_a_row_ring_an_alarm_and_a_good_command_ends_it() -> None:
    """[K10]"""
    stage = Stage({0: list(range(DEAD_LETTERS_IN_A_ROW))}, limit=10)
    stage.store.letters = set(range(DEAD_LETTERS_IN_A_ROW))
    stage.play(10)
    assert stage.alarms.all() == {}
    stage.play(2)
    assert list(stage.alarms.all()) == ["dead_letters"]
    stage.log.records[0].append(DEAD_LETTERS_IN_A_ROW)
    stage.play(2)
    assert stage.alarms.all() == {}


def test_who_has_no_partition_left_takes_the_alarm_back() -> None:
    """No good command could end it there; the instance that has the partition now rings for itself."""
    stage = Stage({0: list(range(DEAD_LETTERS_IN_A_ROW))})
    stage.store.letters = set(range(DEAD_LETTERS_IN_A_ROW))
    assert list(stage.play().alarms.all()) == ["dead_letters"]
    stage.log.assign()
    assert stage.play(1).alarms.all() == {}


def test_dead_letters_among_good_commands_ring_nothing() -> None:
    stage = Stage({0: list(range(200))}, limit=10)
    stage.store.letters = set(range(0, 200, 2))
    stage.play(30)
    assert (len(stage.handled()), stage.alarms.all()) == (200, {})


def test_a_log_that_ends_before_the_stored_offset_halts_its_partition_alone() -> None:
    stage = Stage({0: [0, 1], 1: [0, 1]}, {0: 9, 1: 0}).play()
    assert (stage.handled(0), stage.handled(1)) == ([], [0, 1])
    assert stage.alarms.all() == {"offset_0": "The log ends at 2, before the stored offset 9"}
    assert stage.log.paused == {0}


def test_a_partition_that_is_handled_elsewhere_while_it_is_looked_up_does_not_halt() -> None:
    """The end of the log must not be older than the offset that it is held against."""
    stage = Stage({0: []}, {0: 0})

    def bounds(partition: int) -> tuple[int, int]:
        seen = ScriptedLog.bounds(stage.log, partition)
        stage.log.records[0], stage.store.offsets[0] = [0], StoredOffset(TOPIC, 1)
        return seen

    stage.log.bounds = bounds
    stage.step()
    assert stage.alarms.all() == {}


def test_a_halted_partition_stays_halted_until_a_person_decides() -> None:
    stage = Stage({0: [0, 1]}, {0: 9}).play()
    stage.consumer.recheck_offsets()
    assert (stage.play().handled(), list(stage.alarms.all())) == ([], ["offset_0"])
    stage.store.offsets[0] = StoredOffset(TOPIC, 1)
    stage.consumer.recheck_offsets()
    assert (stage.play().handled(), stage.alarms.all()) == ([1], {})


def test_a_broker_that_was_away_explains_the_looks_that_failed() -> None:
    """Or the partition would ring anew when the broker is back."""
    stage = Stage({0: [0, 1]}, {0: 1})
    stage.log.away = {0}
    stage.play()
    for _ in range(LOOKS_BEFORE_NEW_CLIENT):
        stage.consumer.recheck_offsets(broker_answers=False)
    for _ in range(LOOKS_BEFORE_ALARM - 1):
        stage.consumer.recheck_offsets()
    assert stage.alarms.all() == {}
    stage.consumer.recheck_offsets()
    assert list(stage.alarms.all()) == ["partition_0"]


@pytest.mark.parametrize(("stored", "away", "alarm"), [(9, set(), "offset_0"), (1, {0}, "partition_0")])
def test_a_new_consumer_ends_the_alarm_of_the_one_before(stored: int, away: set[int], alarm: str) -> None:
    stage = Stage({0: [0, 1]}, {0: stored})
    stage.log.away = away
    stage.play()
    for _ in range(LOOKS_BEFORE_ALARM - 1):
        stage.consumer.recheck_offsets()
    assert list(stage.alarms.all()) == [alarm]
    stage.store.offsets[0], stage.log.away = StoredOffset(TOPIC, 1), set()
    assert stage.start_anew().play().alarms.all() == {}


def test_a_stored_offset_that_went_back_is_followed_without_a_new_command() -> None:
    """The database was restored to an older state, or a person set it. [K11]"""
    stage = Stage({0: [0, 1, 2]}).play()
    stage.store.offsets[0] = StoredOffset(TOPIC, 1)
    assert stage.play().handled() == [0, 1, 2]
    stage.consumer.recheck_offsets()
    assert stage.play().handled() == [0, 1, 2, 1, 2]


def test_looking_again_seeks_nothing_where_all_is_as_it_was() -> None:
    stage = Stage({0: [0, 1], 1: [0]}).play()
    before = list(stage.log.seeks)
    stage.consumer.recheck_offsets()
    assert stage.log.seeks == before


def test_a_halted_partition_that_a_rebalance_unpaused_handles_nothing() -> None:
    stage = Stage({0: [0, 1]}, {0: 9}).play()
    stage.log.assign(0)
    assert stage.play().handled() == []


def test_a_halted_partition_that_is_lost_and_comes_back_is_looked_at_again() -> None:
    stage = Stage({0: [0, 1], 1: []}, {0: 9}).play()
    stage.log.assign(1)
    stage.play()
    stage.store.offsets[0] = StoredOffset(TOPIC, 0)
    stage.log.assign(0, 1)
    assert stage.play().handled() == [0, 1]


def test_a_log_that_begins_after_the_stored_offset_goes_on_there_with_an_alarm() -> None:
    stage = Stage({0: [7, 8]}, {0: 5}, begins={0: 7}).play()
    assert stage.handled() == [7, 8]
    assert "from 5 on were deleted unhandled" in stage.alarms.all()["commands_lost_0_5"]


@pytest.mark.parametrize("change", [lambda log: None, lambda log: log.assign(0)])
def test_a_topic_made_anew_under_way_is_handled_from_its_beginning(change: Callable[[ScriptedLog], None]) -> None:
    stage = Stage({0: [0, 1, 2]}).play()
    stage.log.id, stage.log.records[0] = OTHER_TOPIC, [0, 1]
    change(stage.log)
    stage.play()
    assert stage.handled() == [0, 1, 2, 0, 1]
    assert (stage.store.offsets[0].topic_id, stage.store.offsets[0].next_offset) == (OTHER_TOPIC, 2)
    assert "made anew" in stage.alarms.all()[f"topic_made_anew_0_{OTHER_TOPIC.hex[:8]}"]
