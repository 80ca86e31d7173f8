"""`alarms`: the alarms of the service, whichever process rang them, and what a person has seen."""

from collections.abc import Callable

from tests.harness.terminal import Terminal
from tests.harness.world import World

Make = Callable[[World], Terminal]
AN_ALARM = (
    "INSERT INTO alarms (name, holder, sentence, evidence, since, last_at, count) "
    "VALUES (%s, %s, %s, 'first bytes 7b', now() - interval '1 hour', now() - %s * interval '1 s', 2)"
)


def an_alarm(world: World, name: str, holder: str = "", sentence: str = "Look", age: int = 0) -> None:
    world.query(AN_ALARM, (name, holder, sentence, age))


def test_open_alarms_are_listed_once_each(untouched: World, terminal: Make) -> None:
    assert terminal(untouched).prints("alarms") == "No alarm is open.\n"
    an_alarm(untouched, "offset_0", "host:1", "The log is cut", 5)
    an_alarm(untouched, "offset_0", "host:2", "The log ends early", 1)
    an_alarm(untouched, "offset_1", "host:3", "Nobody renews it", 61)
    an_alarm(untouched, "commands_lost_0_17", age=3)
    found = terminal(untouched).json("alarms", "list")["alarms"]
    assert [(alarm["name"], alarm["sentence"], alarm["count"], alarm["holders"]) for alarm in found] == [
        ("offset_0", "The log ends early", 4, ["host:1", "host:2"]),
        ("commands_lost_0_17", "Look", 2, []),
    ]
    assert "The log ends early" in terminal(untouched).prints("alarms")
    assert "And 1 more." in terminal(untouched).prints("alarms", "list", "--limit", 1)


def test_all_that_is_known_is_shown_of_one_that_is_over_too(untouched: World, terminal: Make) -> None:
    an_alarm(untouched, "offset_1", "host:3", age=61)
    shown = terminal(untouched).json("alarms", "show", "offset_1")
    assert (shown["ending"], shown["evidence"]) == ("not renewed", "first bytes 7b")
    assert "first bytes 7b" in terminal(untouched).prints("alarms", "show", "offset_1")
    assert "not renewed" in terminal(untouched).prints("alarms", "list", "--ended")
    assert terminal(untouched).refusal("alarms", "show", "offset_2") == "There is no alarm offset_2."


def test_what_happened_is_acknowledged_with_a_line_of_audit(untouched: World, terminal: Make) -> None:
    an_alarm(untouched, "commands_lost_0_17", sentence="Commands 17 to 19 are lost")
    an_alarm(untouched, "commands_lost_0_30")
    names = ("commands_lost_0_17", "commands_lost_0_30")
    printed = terminal(untouched).prints("alarms", "acknowledge", *names, "--as", "alice")
    assert printed == "".join(f"Alarm {name} is acknowledged.\n" for name in names)
    first, _ = terminal(untouched).audit()
    assert first[:3] == ("alice", "acknowledge", "alarm commands_lost_0_17")
    assert terminal(untouched).json("alarms", "list")["alarms"] == []
    ended = terminal(untouched).json("alarms", "list", "--ended")["alarms"]
    assert {alarm["name"]: alarm["ending"] for alarm in ended} == dict.fromkeys(names, "acknowledged")


def test_a_condition_is_not_acknowledged_and_nothing_of_the_same_call_is(untouched: World, terminal: Make) -> None:
    an_alarm(untouched, "commands_lost_0_17")
    an_alarm(untouched, "offset_0", "host:1")
    refusal = terminal(untouched).refusal("alarms", "acknowledge", "commands_lost_0_17", "offset_0")
    assert refusal == "Alarm offset_0 lasts: it ends by itself, when its cause is over."
    assert terminal(untouched).audit() == []
    assert len(terminal(untouched).json("alarms", "list")["alarms"]) == 2
    assert "There is no open alarm x." in terminal(untouched).refusal("alarms", "acknowledge", "x")
