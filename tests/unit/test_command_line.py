"""What holds for every command of `flask orders`."""

from collections.abc import Iterator
from pathlib import Path

import click

from app.cli import commands

OPERATIONS = Path(__file__).resolve().parents[2] / "docs" / "operations.md"

READS = {
    "readers",
    "list",
    "show",
    "timeline",
    "groups",
    "database",
    "why",
    "lost",
    "holes",
    "lanes",
    "line",
    "audit",
    "moves",
    "simulate",
    "judge",
    "search",
    "waits",
    "flow",
    "instances",
}
"""The last words of commands that only look."""


def leaves(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[str, click.Command]]:
    """Each command that does something by itself, with its words."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from leaves(command, (*path, name))
        else:
            yield " ".join((*path, name)), command


def test_each_command_that_changes_something_asks_for_whom_its_audit_line_is() -> None:
    found = dict(leaves(commands))
    audited = {name for name, command in found.items() if any(option.name == "who" for option in command.params)}
    assert {name for name in found if name.split()[-1] not in READS} == audited


def test_each_command_prints_json_where_it_is_asked_to_and_shows_an_example_of_itself() -> None:
    for name, command in leaves(commands):
        assert any(option.name == "as_json" for option in command.params), name
        assert f"flask orders {name}" in (command.help or ""), name


def test_each_command_is_in_operations() -> None:
    table = OPERATIONS.read_text().split("\n## Command line\n")[1].split("\n## ")[0]
    rows = [line for line in table.splitlines() if line.startswith("| `")]
    for name, _ in leaves(commands):
        group, _, command = name.rpartition(" ")
        assert any(f"`{group or command}" in row and command in row for row in rows), name
