"""`offsets`: where handling stands, and the operator's decision."""

from collections.abc import Callable
from contextlib import closing

import pytest
from kafka import KafkaProducer

from app.cli import offsets
from tests.harness.terminal import Terminal
from tests.harness.world import World, a_create

Make = Callable[[World], Terminal]


def stored(world: World) -> dict[int, int]:
    return dict(world.query("SELECT partition, next_offset FROM consumer_offsets"))


@pytest.fixture
def handled(running: World) -> World:
    """Three commands of partition 0 were handled; the service is stopped."""
    running.send(*(a_create() for _ in range(3)), partition=0)
    running.settle()
    running.stop()
    return running


def test_stored_offset_log_group_and_lag_are_shown(handled: World, terminal: Make) -> None:
    handled.send(a_create(), a_create(), partition=0)
    shown = terminal(handled).json("offsets", "show")
    assert (shown["topic"], shown["group"]) == (handled.commands, handled.group)
    first, *others = shown["partitions"]
    assert first == {"partition": 0, "stored": 3, "begin": 0, "end": 5, "committed": 3, "lag": 2, "alarm": None}
    assert [(other["partition"], other["lag"]) for other in others] == [(1, 0), (2, 0)]
    assert "log ends" in terminal(handled).prints("offsets", "show")


def test_a_partition_that_an_open_transaction_holds_is_shown_with_what_waits(handled: World, terminal: Make) -> None:
    servers = handled.environment["KAFKA_BOOTSTRAP_SERVERS"]
    with closing(KafkaProducer(bootstrap_servers=servers, transactional_id=handled.group)) as producer:
        producer.init_transactions()
        producer.begin_transaction()
        producer.send(handled.commands, b"not a command", partition=0).get(30)
        first = terminal(handled).json("offsets", "show")["partitions"][0]
        producer.abort_transaction()
    assert (first["end"], first["lag"]) == (4, 1)
    assert "An open transaction holds the partition from 3 on" in first["alarm"]


def test_an_offset_beyond_the_log_is_shown_as_wrong(handled: World, terminal: Make) -> None:
    handled.query("UPDATE consumer_offsets SET next_offset = 9 WHERE partition = 0")
    assert "The log ends at 3, before the stored offset 9" in terminal(handled).prints("offsets", "show")


def test_setting_back_lets_the_service_go_on_from_there_without_doing_anything_twice(
    handled: World, terminal: Make
) -> None:
    printed = terminal(handled).prints("offsets", "set", "--partition", 0, "--offset", 1, "--yes", "--as", "alice")
    assert printed == "Partition 0 was set from 3: the next command to handle is 1.\n"
    assert terminal(handled).audit() == [("alice", "offsets set", f"offset {handled.commands}/0", None)]
    handled.start()
    handled.settle()
    assert (handled.count("orders"), len(handled.replies())) == (3, 3)


@pytest.mark.parametrize(
    ("partition", "offset", "sentence"),
    [
        (7, 0, "Topic {} has no partition 7, it has 0, 1, 2."),
        (-1, 0, "Topic {} has no partition -1, it has 0, 1, 2."),
        (0, 4, "Offset 4 is not in the log: partition 0 of {} begins at 0, and 3 is its next one."),
        (0, -1, "Offset -1 is not in the log: partition 0 of {} begins at 0, and 3 is its next one."),
    ],
)
def test_nonsense_is_refused_in_one_sentence(
    world: World, terminal: Make, partition: int, offset: int, sentence: str
) -> None:
    world.send(*(a_create() for _ in range(3)), partition=0)
    place = ("--partition", partition, "--offset", offset)
    assert terminal(world).refusal("offsets", "set", *place, "--yes") == sentence.format(world.commands)
    assert (stored(world), terminal(world).audit()) == ({}, [])


def test_skipping_commands_asks_first(world: World, terminal: Make) -> None:
    world.send(*(a_create() for _ in range(3)), partition=0)
    terminal(world).prints("offsets", "set", "--partition", 0, "--offset", 1, "--yes")
    result = terminal(world).run("offsets", "set", "--partition", 0, "--offset", 3, stdin="n\n")
    assert "from 1 to 2 will never be handled or answered. Go on?" in result.stderr
    assert (result.exit_code, stored(world)) == (1, {0: 1})


def test_the_offset_that_stands_there_already_is_no_change(handled: World, terminal: Make) -> None:
    shown = terminal(handled).json("offsets", "set", "--partition", 0, "--offset", 3)
    assert (shown["changed"], terminal(handled).audit()) == (False, [])


def test_what_the_service_moved_meanwhile_is_not_overwritten(
    handled: World, terminal: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    def service_goes_on(question: str, *, yes: bool) -> None:
        handled.query("UPDATE consumer_offsets SET next_offset = 2 WHERE partition = 0")

    monkeypatch.setattr(offsets, "confirm", service_goes_on)
    assert "meanwhile: look again" in terminal(handled).refusal("offsets", "set", "--partition", 0, "--offset", 0)
    assert (stored(handled)[0], terminal(handled).audit()) == (2, [])
