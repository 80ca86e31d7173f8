"""Dead letters by their cause, jobs about them, and a mended copy in place of one."""

import json
from collections.abc import Callable

import pytest

from app.models.operator_errors import DatabaseUnusable
from app.operations import dead_letter_groups
from app.operations.audit import AuditedChange
from tests.cli.test_dead_letters import a_letter, resolution
from tests.harness.terminal import Terminal
from tests.harness.world import World, raising_once

Make = Callable[[World], Terminal]
UNREADABLE = b'{"type": "cancel_order", "correlation_id": "saga-1", "payload": {"order_id": "order-1"}'


def test_letters_are_grouped_by_cause_the_largest_group_first(untouched: World, terminal: Make) -> None:
    rare = a_letter(untouched, UNREADABLE, b"order-1")
    many = [a_letter(untouched, b"{", b"shop-%d" % n) for n in range(4)]
    untouched.query("UPDATE dead_letters SET partition = id %% 2, error = 'no JSON at ' || id WHERE id > %s", (rare,))
    decided = a_letter(untouched, b"{", b"shop-9")
    terminal(untouched).prints("dead-letters", "discard", decided, "--yes")
    found = terminal(untouched).json("dead-letters", "groups")
    assert found["left_out"] == 0
    first, second = found["groups"]
    assert (first["count"], first["reason"], first["key"], first["type"]) == (4, "no JSON at …", "shop-", None)
    assert (first["partitions"], first["examples"]) == ([0, 1], many[:0:-1])
    assert (second["count"], second["key"], second["type"]) == (1, "order-", "cancel_order")
    assert "cancel_order" in terminal(untouched).prints("dead-letters", "groups")


def test_a_bounded_number_of_letters_is_looked_at(
    untouched: World, terminal: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dead_letter_groups, "MOST_LETTERS", 2)
    for _ in range(5):
        a_letter(untouched, b"{")
    assert terminal(untouched).json("dead-letters", "groups")["left_out"] == 3
    assert "3 older dead letters were not looked at." in terminal(untouched).prints("dead-letters", "groups")


def test_a_job_takes_the_letters_that_a_group_has_at_that_moment(untouched: World, terminal: Make) -> None:
    ids = [a_letter(untouched, b"{") for _ in range(3)]
    (group,) = terminal(untouched).json("dead-letters", "groups")["groups"]
    arguments = ("dead-letters", "replay", "--group", group["id"], "--reason", "mended", "--as", "alice")
    started = terminal(untouched).json(*arguments, "--yes")
    assert started == {"job": 1, "dead_letters": 3, "left_out": 0, "judged": {"unreadable": 3}}
    a_letter(untouched, b"{")
    assert untouched.query("SELECT subject FROM job_items ORDER BY number") == [(str(it),) for it in ids]
    assert terminal(untouched).refusal("dead-letters", "replay", "--group", "none", "--reason", "r", "--yes") == (
        "There is no group none of undecided dead letters."
    )
    refused = terminal(untouched).run(*arguments, stdin="n\n")
    assert (refused.exit_code, refused.stderr.partition(". ")[0]) == (
        1,
        "4 dead letters will be sent again, by now's judgement: 4 unreadable",
    )
    assert untouched.count("jobs") == 1


def test_a_job_is_shown_listed_and_stopped(untouched: World, terminal: Make) -> None:
    letter = a_letter(untouched, b"{")
    arguments = ("dead-letters", "discard", letter, "--job", "--reason", "a load test", "--yes", "--as", "alice")
    assert terminal(untouched).prints(*arguments) == "Job 1 has 1 dead letter to do: flask orders jobs show 1.\n"
    (listed,) = terminal(untouched).json("jobs", "list")["jobs"]
    assert (listed["kind"], listed["state"], listed["total"], listed["items"]) == ("discard", "waiting", 1, [])
    assert "a load test" in terminal(untouched).prints("jobs", "show", 1)
    assert terminal(untouched).prints("jobs", "stop", 1, "--as", "bob") == "Job 1 is stopped.\n"
    shown = terminal(untouched).json("jobs", "show", 1)
    assert (shown["state"], shown["outcome"]) == ("stopped", "Stopped by bob before it began")
    assert terminal(untouched).refusal("jobs", "stop", 1) == "Job 1 is over: stopped."
    assert terminal(untouched).refusal("jobs", "show", 2) == "There is no job 2."
    assert [line[:3] for line in terminal(untouched).audit()] == [
        ("alice", "discard-job", "job 1"),
        ("bob", "stop-job", "job 1"),
    ]


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(("replay",), id="nothing"),
        pytest.param(("replay", 1, "--group", "g", "--reason", "r"), id="both"),
        pytest.param(("replay", 1, "--job"), id="no reason"),
        pytest.param(("replay", 1, "--reason", "r"), id="no job"),
        pytest.param(("discard", 1, "--job", "--reason", "r", "--unsent"), id="unsent"),
    ],
)
def test_options_that_do_not_fit_together_are_refused(
    untouched: World, terminal: Make, arguments: tuple[object, ...]
) -> None:
    assert terminal(untouched).run("dead-letters", *arguments).exit_code == 2


def test_a_mended_letter_is_sent_with_its_key_and_linked(world: World, terminal: Make) -> None:
    letter = a_letter(world, UNREADABLE, b"order-1")
    arguments = ("dead-letters", "mend", letter, "--file", "-", "--reason", "a brace", "--as", "alice")
    place = terminal(world).json(*arguments, stdin=UNREADABLE + b"}")["place"]
    (record,) = world.wire.read(world.commands)
    assert (record["key"], record["value"]) == (b"order-1", UNREADABLE + b"}")
    sent_as = f"{world.commands}/{record['partition']}/{record['offset']}"
    assert (place["partition"], place["offset"]) == (record["partition"], record["offset"])
    assert world.query("SELECT resolution, sent_as FROM dead_letters") == [("mended", sent_as)]
    ((who, action, subject, detail, data),) = world.query(
        "SELECT who, action, subject, detail, bytes FROM operator_actions"
    )
    assert (who, action, subject) == ("alice", "mend", f"dead letter {letter}")
    assert (detail, bytes(data)) == (f"sent mended as {sent_as}: a brace", UNREADABLE + b"}")
    assert f"Dead letter {letter} was mended at" in terminal(world).refusal(*arguments, stdin=UNREADABLE + b"}")
    assert sent_as in terminal(world).prints("dead-letters", "show", letter)


def test_bytes_that_are_no_command_either_are_not_sent(untouched: World, terminal: Make) -> None:
    letter = a_letter(untouched, b"{")
    refused = terminal(untouched).refusal("dead-letters", "mend", letter, "--file", "-", "--reason", "r", stdin=b"[")
    assert refused == "These bytes would be a dead letter again: The command is not a JSON object."
    assert (resolution(untouched, letter), untouched.count("operator_actions")) == (None, 0)


def test_a_mended_letter_that_could_not_be_marked_says_where_it_is(
    world: World, terminal: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    letter = a_letter(world, UNREADABLE)
    with raising_once(monkeypatch, AuditedChange, "complete", DatabaseUnusable("The database is away.")):
        arguments = ("dead-letters", "mend", letter, "--file", "-", "--reason", "r")
        refusal = terminal(world).refusal(*arguments, stdin=UNREADABLE + b"}")
    assert refusal.startswith(f"Dead letter {letter} was sent mended as {world.commands}/")
    assert resolution(world, letter) is None


def test_a_mended_command_is_answered(running: World, terminal: Make) -> None:
    running.ask(UNREADABLE)
    terminal(running).prints("dead-letters", "mend", 1, "--file", "-", "--reason", "r", stdin=UNREADABLE + b"}")
    running.settle()
    assert [json.loads(reply["value"])["correlation_id"] for reply in running.replies()] == ["saga-1"]
