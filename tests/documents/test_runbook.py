"""Every alarm that the code can ring has its section in docs/runbook.md."""

import re
from pathlib import Path

import click

from app.cli import commands
from tests.documents.alarm_kinds import HOLE, happenings, kinds
from tests.documents.headings import sections

CHECKOUT = Path(__file__).resolve().parents[2]
RUNBOOK = CHECKOUT / "docs" / "runbook.md"
PARTS = ("Means", "See", "Do", "Ends")


def test_the_kinds_of_alarms_are_found() -> None:
    assert {"dead_letters", "broker_away", "offset", "commands_wait", "record_unread", "events_partition"} <= kinds()
    assert {"topics_missing", "watch_missing", "held_snapshot", "schema", "prune_jobs", "relay_events"} <= kinds()
    assert len(kinds()) > 50
    assert not any(HOLE in kind for kind in kinds())


def test_the_runbook_has_a_section_for_each_kind_and_no_other() -> None:
    assert sections(RUNBOOK, 3).keys() == kinds()


def test_a_section_says_whether_a_person_must_acknowledge() -> None:
    marked = {kind for kind, text in sections(RUNBOOK, 3).items() if re.search(r"^(`.*`\. )?Happened\.$", text, re.M)}
    assert marked == happenings()


def test_each_section_has_its_four_parts() -> None:
    """A section without what to do shares that with the others under its heading."""
    alone = {**sections(RUNBOOK, 2), **sections(RUNBOOK, 3)}
    shared = sections(RUNBOOK, 2)["OrderHousekeepingFails"]
    for name, text in alone.items():
        found = re.findall(r"^- \*\*([A-Z, a-z]+)\.\*\*", text, re.MULTILINE)
        named = [part for words in found for part in words.split(", ")]
        if named and named != ["Means"] and text != shared:
            assert tuple(named) == PARTS, name


def test_each_command_of_the_runbook_is_one() -> None:
    """With options that it has. What is in capitals is for the reader to fill in."""
    found = re.findall(r"`flask orders ([^`#]+)`", RUNBOOK.read_text())
    assert len(found) > 40
    for line in found:
        command: click.Command = commands
        for word in line.split():
            if word.startswith("--"):
                assert word in {option for each in command.params for option in each.opts}, line
            elif isinstance(command, click.Group):
                below = command.get_command(click.Context(command), word)
                assert below is not None, line
                command = below
            else:
                assert word in kinds() or re.search("[A-Z0-9]", word), line
        assert command is not commands, line
