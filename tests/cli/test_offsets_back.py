"""`offsets set` to where commands are not recognised, rows of no partition, and which cluster is ours."""

from collections.abc import Callable

import pytest

from app.cli import offsets
from tests.harness.terminal import Terminal
from tests.harness.world import World, wait_for
from tests.integration.test_kafka_offsets import commit, creates

Make = Callable[[World], Terminal]
CANCEL = ("send-command", "cancel_order", "--payload", '{"order_id": "o"}')
SET = ("offsets", "set", "--partition", 0, "--offset")


def take_over(world: World) -> None:
    """Five commands of the predecessor, two of ours; the service is stopped."""
    world.send(*creates(5), partition=0)
    commit(world, 5)
    world.start()
    world.send(*creates(2), partition=0)
    world.settle()
    world.stop()


def test_going_back_below_the_take_over_is_asked_with_the_truth(world: World, terminal: Make) -> None:
    take_over(world)
    result = terminal(world).run(*SET, 1, stdin="n\n")
    sentence = "4 of the commands from 1 to 6 are not recognised any more and would be done again."
    assert sentence in result.stderr
    assert "This service took the place of another at 5." in result.stderr
    assert world.query("SELECT next_offset FROM consumer_offsets WHERE partition = 0") == [(7,)]
    assert sentence in terminal(world).refusal(*SET, 1, "--yes")
    assert terminal(world).prints(*SET, 5, "--yes").startswith("Partition 0 was set from 7")


def test_what_the_predecessor_handled_is_known_before_the_first_start_too(world: World, terminal: Make) -> None:
    world.send(*creates(5), partition=0)
    commit(world, 4)
    sentence = "3 of the commands from 1 to 3 are not recognised any more and would be done again."
    assert sentence in terminal(world).refusal(*SET, 1, "--yes")
    assert world.query("SELECT * FROM consumer_offsets") == []
    terminal(world).prints(*SET, 4, "--yes")
    floor = "SELECT next_offset, floor_offset, floor_at IS NULL FROM consumer_offsets"
    assert world.query(floor) == [(4, 4, False)]
    assert sentence in terminal(world).refusal(*SET, 1, "--yes")


def test_commands_that_are_forgotten_by_now_are_done_again_only_where_that_is_wanted(
    running: World, terminal: Make
) -> None:
    running.send(*creates(3), b"no JSON", partition=0)
    running.settle()
    running.stop()
    running.query("DELETE FROM command_identities")
    assert "3 of the commands from 0 to 3" in terminal(running).refusal(*SET, 0, "--yes")
    terminal(running).prints(*SET, 0, "--yes", "--do-again")
    running.start()
    running.settle()
    assert running.count("command_identities") == 3


def test_a_row_of_a_partition_that_is_no_more_is_found_and_can_be_forgotten(running: World, terminal: Make) -> None:
    running.ask(*creates(1), partition=0)
    running.stop()
    running.query("INSERT INTO consumer_offsets SELECT topic, 7, topic_id, 4 FROM consumer_offsets LIMIT 1")
    assert "offsets forget --partition 7" in terminal(running).run("check").stdout
    assert "has partition 0" in terminal(running).refusal("offsets", "forget", "--partition", 0)
    assert "no stored offset" in terminal(running).refusal("offsets", "forget", "--partition", 8)
    terminal(running).prints("offsets", "forget", "--partition", 7, "--yes", "--as", "alice")
    assert terminal(running).audit() == [("alice", "offsets forget", f"offset {running.commands}/7", None)]
    assert "Nothing is wrong" in terminal(running).prints("check")


def test_what_changed_since_it_was_shown_is_neither_forgotten_nor_replaced(
    running: World, terminal: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    running.ask(*creates(1), partition=0)
    running.stop()
    running.query("INSERT INTO consumer_offsets SELECT topic, 7, topic_id, 4 FROM consumer_offsets LIMIT 1")
    running.query("UPDATE kafka_cluster SET cluster_id = 'ours'")

    def others_go_on(question: str, *, yes: bool) -> None:
        running.query("UPDATE consumer_offsets SET next_offset = next_offset + 1 WHERE partition = 7")
        running.query("UPDATE kafka_cluster SET cluster_id = 'theirs'")

    monkeypatch.setattr(offsets, "confirm", others_go_on)
    assert terminal(running).refusal("offsets", "accept-cluster") == "The known cluster changed meanwhile: look again."
    running.query("DELETE FROM kafka_cluster")
    assert "/7 meanwhile: look again" in terminal(running).refusal("offsets", "forget", "--partition", 7)
    assert running.query("SELECT next_offset FROM consumer_offsets WHERE partition = 7") == [(6,)]
    assert terminal(running).audit() == []


def test_another_cluster_is_refused_until_it_is_accepted(running: World, terminal: Make) -> None:
    running.ask(*creates(1), partition=0)
    running.stop()
    running.query("UPDATE kafka_cluster SET cluster_id = 'ours', addresses = 'kafka:9092'")
    assert "than the stored offsets are of (ours at kafka:9092)" in terminal(running).refusal(*SET, 0, "--yes")
    assert "another cluster" in terminal(running).refusal("offsets", "show")
    assert "another cluster" in terminal(running).run("check").stdout
    assert "another cluster" in terminal(running).refusal(*CANCEL)
    terminal(running).prints("offsets", "accept-cluster", "--yes", "--as", "alice")
    assert "accept-cluster" in [action for _, action, *_ in terminal(running).audit()]
    terminal(running).prints(*SET, 0, "--yes")
    running.start()
    running.settle()
    wait_for(lambda: running.query("SELECT count(*) FROM kafka_cluster") == [(1,)], "one cluster")


def test_what_came_after_the_log_was_replaced_is_not_done_again(world: World, terminal: Make) -> None:
    """The record that stands behind the stored offset is another: nothing of what is there was handled."""
    take_over(world)
    world.query("DELETE FROM command_identities RETURNING 1")
    assert "2 of the commands from 5 to 6 are not recognised" in terminal(world).refusal(*SET, 5, "--yes")
    world.query("UPDATE consumer_offsets SET last_hash = sha256('another') WHERE partition = 0 RETURNING 1")
    assert terminal(world).prints(*SET, 5, "--yes").startswith("Partition 0 was set from 7")
