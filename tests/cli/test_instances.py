"""`instances`: which processes run, and what is not well with them."""

import json

from tests.harness.terminal import Terminal
from tests.harness.world import World, wait_for

TELL = (
    "INSERT INTO instances (name, host, pid, version, commit, roles, seen_at, parts) "
    "VALUES (%s, 'host-1', 7, '1.0.0', '0123456789', 'worker', now() - interval '70 s', %s)"
)
PARTS = {
    "consumer": {"ok": False, "last_error": "ValueError: x", "seconds_since_beat": 1.0},
    "watch": {"ok": False, "last_error": None, "seconds_since_beat": 99.0},
    "topics": {"ok": False, "missing": ["order_events"], "unknown": []},
    "broker": {"ok": False, "reason": None},
    "relay": {"ok": True, "leads": ["events"]},
}


def test_a_process_that_is_not_well_is_listed_with_the_reasons(untouched: World) -> None:
    assert Terminal(untouched).prints("instances") == "No process has told of itself within a day.\n"
    untouched.query(TELL, ("a", json.dumps(PARTS)))
    printed = Terminal(untouched).prints("instances")
    for words in (
        *("host-1", "worker", "events", "1.0.0 (0123456)", "70 s", "consumer: ValueError: x"),
        *(
            "watch: it stands still: its heartbeat is too old",
            "topics: missing order_events",
            "broker: nothing is known",
        ),
    ):
        assert words in printed


def test_a_running_process_is_listed_and_one_that_ends_is_not(world: World) -> None:
    world.start()
    (one,) = wait_for(lambda: Terminal(world).json("instances")["instances"], "the process")
    assert (one["roles"], one["silent"] < 5, one["parts"]["consumer"]["restarts"]) == ("all", True, 0)
    world.stop()
    assert Terminal(world).json("instances")["instances"] == []


def test_a_process_that_fell_silent_is_acknowledged_and_missed_no_more(untouched: World) -> None:
    """With an audit line, all or none; one that tells of itself is not."""
    terminal = Terminal(untouched)
    untouched.query(TELL, ("host-1:7:abc", "{}"))
    untouched.query(TELL.replace("70 s", "0 s"), ("host-1:8:abc", "{}"))
    assert terminal.refusal("instances", "acknowledge", "host-1:7", "host-1:9") == "There is no process host-1:9."
    tells = "Process host-1:8 tells of itself: only one that fell silent is acknowledged."
    assert terminal.refusal("instances", "acknowledge", "host-1:7", "host-1:8") == tells
    assert untouched.count("instances") == 2
    printed = terminal.prints("instances", "acknowledge", "host-1:7", "--as", "alice")
    assert printed == "Process host-1:7 is acknowledged.\n"
    assert untouched.query("SELECT name FROM instances") == [("host-1:8:abc",)]
    ((who, action, subject),) = untouched.query("SELECT who, action, subject FROM operator_actions")
    assert (who, action, subject) == ("alice", "acknowledge", "instance host-1:7")
