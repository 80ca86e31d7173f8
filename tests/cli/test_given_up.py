"""`given-up`: commands that could not be handled, with their bytes."""

import json
from collections.abc import Callable

from tests.harness.terminal import Terminal
from tests.harness.world import World

Make = Callable[[World], Terminal]

A_COMMAND = (
    'INSERT INTO given_up_commands (event_id, topic, partition, "offset", key, value, type, correlation_id, error) '
    "VALUES (gen_random_uuid(), 'commands', 0, 7, NULL, %s, 'cancel_order', 'saga-1', 'no') RETURNING id"
)


def a_command(world: World, value: bytes = b"{}") -> int:
    return int(world.query(A_COMMAND, (value,))[0][0])


def test_what_was_given_up_is_listed_and_shown_with_its_bytes(untouched: World, terminal: Make) -> None:
    first, second = a_command(untouched), a_command(untouched, b"\xff")
    listed = terminal(untouched).json("given-up", "list")["given_up"]
    assert [(command["id"], command["correlation_id"], command["bytes"]) for command in listed] == [
        (second, "saga-1", 1),
        (first, "saga-1", 2),
    ]
    assert "commands/0/7" in terminal(untouched).prints("given-up", "list")
    assert terminal(untouched).json("given-up", "show", second)["value_base64"] == "/w=="
    assert terminal(untouched).run("given-up", "show", second, "--bytes").stdout_bytes == b"\xff"
    assert json.loads(terminal(untouched).prints("given-up", "show", first, "--json"))["error"] == "no"


def test_a_command_that_is_named_twice_is_one_command(untouched: World, terminal: Make) -> None:
    command = a_command(untouched)
    result = terminal(untouched).run("given-up", "discard", command, command, stdin="y\n")
    assert "The bytes of 1 commands will be gone. Go on?" in result.stderr
    assert "1 discarded." in result.stdout


def test_a_discard_deletes_all_that_are_named_or_none(untouched: World, terminal: Make) -> None:
    first, second = a_command(untouched), a_command(untouched)
    assert "Nothing was changed" in terminal(untouched).refusal("given-up", "discard", first, 99, "--yes")
    assert untouched.count("given_up_commands") == 2
    terminal(untouched).prints("given-up", "discard", first, second, "--yes", "--as", "alice")
    assert untouched.count("given_up_commands") == 0
    assert [line[:3] for line in terminal(untouched).audit()] == [
        ("alice", "discard", f"given-up command {command}") for command in (first, second)
    ]
