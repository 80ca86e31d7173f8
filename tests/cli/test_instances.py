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
