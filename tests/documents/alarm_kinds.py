"""The alarms that the code can ring, by kind as the metric counts them, read from the code itself."""

import ast
import functools
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from app.database import lanes, retention
from app.models.drills import DRILL
from app.utils.alarms import OVERFLOW, kind_of

APP = Path(__file__).resolve().parents[2] / "app"
HOLE = "\0"
"""What stands in a name for what is only known when it rings."""

OF_THE_METRIC = "other"
"""What the metric counts the kinds under that it has no room for."""


def kinds() -> frozenset[str]:
    """Return every value that the label `alarm` of the metric `order_alarms` can have."""
    return happenings() | conditions() | {OF_THE_METRIC}


@functools.cache
def happenings() -> frozenset[str]:
    """Return the kinds of what happened once and stays until a person acknowledges it."""
    return _kinds(_names(once=True))


@functools.cache
def conditions() -> frozenset[str]:
    """Return the kinds of what ends by itself."""
    tasks = [*retention.PRUNE.values(), retention.FOLD_COUNTS, retention.GIVE_TIMES, retention.PLACE_STATUSES]
    return _kinds(_names(once=False) | {task.name for task in tasks} | {OVERFLOW, DRILL})


@functools.cache
def _modules() -> tuple[Sequence[Sequence[ast.AST]], dict[str, str]]:
    """Return the nodes of each module that has to do with alarms, and the texts of all constants by their names."""
    texts = [file.read_text() for file in APP.rglob("*.py")]
    constants = dict(re.findall(r'^([A-Z_]+) = "(.*)"$', "\n".join(texts), re.MULTILINE))
    return [[*ast.walk(ast.parse(text))] for text in texts if re.search("alarm|GoOn", text)], constants


def _names(*, once: bool) -> set[str]:
    """Return the names that stand in the code, with HOLEs."""
    modules, constants = _modules()
    found = set()
    for nodes in modules:
        local = {
            node.targets[0].id: text
            for node in nodes
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
            if node.targets[0].id == "name" or node.targets[0].id.isupper()
            if (text := _text(node.value, constants)) is not None and "_" in text
        }
        found |= set(_rung(nodes, constants | local, once=once))
    return {name for name in found if name.replace("_", "") != HOLE * name.count(HOLE)}


def _kinds(names: set[str]) -> frozenset[str]:
    return frozenset(kind_of(each.replace(HOLE, "0")) for name in names for each in _of_the_lanes(name))


def _of_the_lanes(name: str) -> Iterator[str]:
    """Yield the name for each lane that can ring it, if it has a lane's name in it."""
    for lane in (lanes.EVENTS, lanes.DEAD_LETTERS):
        if name == f"relay_{HOLE}":  # where a refused record stops the lane
            if not lane.leaves_out:
                yield f"relay_{lane.name}"
        elif name == f"{HOLE}_refused":  # where it is passed by
            if lane.leaves_out:
                yield f"{lane.name}_refused"
        elif name.startswith(HOLE):
            yield name.replace(HOLE, lane.name, 1)
    if name != f"relay_{HOLE}" and not name.startswith(HOLE):
        yield name


def _text(node: ast.expr | None, names: dict[str, str]) -> str | None:
    """Return a text with HOLE for what is only known later; None for what is no text."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(str(it.value) if isinstance(it, ast.Constant) else HOLE for it in node.values)
    name = node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""
    return names.get(name)


def _rung(nodes: Sequence[ast.AST], names: dict[str, str], *, once: bool) -> Iterator[str]:
    """Yield the names of alarms in a module, however they come to `ring`; with `once` to `happened`."""
    for node in nodes:
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
        yield from (text for it in found if (text := _text(it, names)) is not None)
        if once and isinstance(node, ast.keyword) and node.arg == "kind":  # of a look at the log
            kind = _text(node.value, names)
            if kind is not None:
                yield f"{kind}_{HOLE}"
