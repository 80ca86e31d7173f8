"""Every alarm that the code can ring has its row in docs/operations.md."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HOLE = "\0"


def text_of(node: ast.expr | None, names: dict[str, str]) -> str | None:
    """Return a text with HOLE for what is only known later; None for what is no text."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(str(it.value) if isinstance(it, ast.Constant) else HOLE for it in node.values)
    name = node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""
    return names.get(name)


def rung(tree: ast.AST, names: dict[str, str], *, once: bool) -> Iterator[str]:
    """Yield the names of alarms in a module, however they come to `ring`; with `once` to `happened`."""
    for node in ast.walk(tree):
        found: list[ast.expr | None] = []
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            if node.func.attr in (("happened",) if once else ("ring", "_attempt")) and node.args:
                found.append(node.args[0])
            elif not once and node.func.attr == "_refuse" and len(node.args) == 4:  # of the schema's thread
                found.append(node.args[1])
        elif not once and isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Subscript):
            target = node.targets[0]  # the watch gathers them in a table
            if isinstance(target.value, ast.Name) and target.value.id == "found":
                found.append(target.slice)
        elif not once and isinstance(node, ast.FunctionDef) and node.name == "_alarm":
            found += [it.value for it in ast.walk(node) if isinstance(it, ast.Return)]
        elif not once and isinstance(node, ast.FunctionDef) and node.name == "alarms":  # of a look at the topics
            found += [key for it in ast.walk(node) if isinstance(it, ast.Dict) for key in it.keys]
        yield from (text for it in found if (text := text_of(it, names)) is not None)
        if once and isinstance(node, ast.keyword) and node.arg == "kind":  # of a look at the log
            kind = text_of(node.value, names)
            if kind is not None:
                yield f"{kind}_{HOLE}"


def alarms(*, once: bool) -> set[str]:
    modules = {file: ast.parse(file.read_text()) for file in (ROOT / "app").rglob("*.py")}
    constants = {
        node.targets[0].id: node.value.value
        for tree in modules.values()
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign)
        and isinstance(node.targets[0], ast.Name)
        and node.targets[0].id.isupper()
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    }
    found = set()
    for tree in modules.values():
        local = {
            node.targets[0].id: text
            for node in ast.walk(tree)
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
            if node.targets[0].id == "name" or node.targets[0].id.isupper()
            if (text := text_of(node.value, constants)) is not None and "_" in text
        }
        found |= set(rung(tree, constants | local, once=once))
    return found


def documented(*, once: bool) -> set[str]:
    cells = re.findall(r"^\| ([^|]*`[^|]*) \|", (ROOT / "docs" / "operations.md").read_text(), re.MULTILINE)
    return {name for cell in cells if ("(happened)" in cell) is once for name in re.findall(r"`([^`]+)`", cell)}


ALARMS = [(alarm, once) for once in (False, True) for alarm in sorted(alarms(once=once))]


@pytest.mark.parametrize(("alarm", "once"), ALARMS, ids=[alarm.replace(HOLE, "X") for alarm, _ in ALARMS])
def test_the_alarm_has_its_row(alarm: str, once: bool) -> None:
    """A row that is marked (happened), where a person has to acknowledge the alarm."""
    pattern = re.escape(alarm).replace(re.escape(HOLE), r"[A-Za-z_…]+")
    assert any(re.fullmatch(pattern, name) for name in documented(once=once))


def test_the_names_are_found() -> None:
    shown = {alarm.replace(HOLE, "X") for alarm, _ in ALARMS}
    assert {"dead_letters", "broker_away", "offset_X", "commands_wait_X", "record_unread_X_X"} <= shown
    assert {"topics_missing", "commands_stalled_X", "watch_missing", "held_snapshot", "schema"} <= shown
    assert len(shown) > 20
