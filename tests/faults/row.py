"""What the programs share: both loads at once, the verdict at the end, the table, the options."""

import argparse
import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

from tests.faults.checker import check
from tests.faults.command_load import command_load
from tests.faults.found import Found, find
from tests.faults.history import COMMANDS, FAIL, INFO, OK, UNREADABLE, History, Operation
from tests.faults.load import WRITES, KnownOrders, http_load
from tests.faults.stack import Stack

SHOWN = 5


@dataclass
class Row:
    """One run: what happened, in the order in which it is shown, and what was not as promised."""

    title: str
    figures: dict[str, object] = field(default_factory=dict)
    violations: list[str] = field(default_factory=list)

    def require(self, holds: bool, sentence: str) -> None:
        """Note a violation unless `holds`."""
        if not holds:
            self.violations.append(sentence)

    def finish(self) -> int:
        """Print the table and return the exit code."""
        width = max(len(name) for name in self.figures)
        print(f"\n{self.title}")
        for name, figure in self.figures.items():
            shown = f"{figure:.1f}" if isinstance(figure, float) else str(figure)
            print(f"  {name:<{width}}  {shown}")
        for violation in self.violations:
            print(f"  VIOLATED: {violation}")
        print(f"  {'FAIL' if self.violations else 'pass'}", flush=True)
        return 1 if self.violations else 0


@dataclass
class Load:
    """The load of one run and what it did. `seconds` is how long it ran."""

    history: History = field(default_factory=History)
    known: KnownOrders = field(default_factory=KnownOrders)
    seconds: float = 0.0

    @contextmanager
    def running(self, stack: Stack, seed: int, wishes: float = 120, commands: float = 120) -> Iterator[None]:
        """Both loads at so many HTTP wishes (nine in ten are writes) and commands a second; 0 leaves one out."""
        started = time.monotonic()
        with ExitStack() as loads:
            if wishes:
                loads.enter_context(http_load(stack.ports, self.known, self.history, seed, wishes))
            if commands:
                producer = (stack.broker.bootstrap, stack.commands_topic, self.known, self.history, seed, commands)
                loads.enter_context(command_load(*producer))
            yield
            self.seconds += time.monotonic() - started

    def judge(self, stack: Stack, row: Row) -> Found:
        """Hold what is there now against the history; the stack must be quiet."""
        found = find(stack)
        row.figures |= self.figures()
        row.figures |= {"orders": len(found.rows), "records on the events topic": len(found.events)}
        row.figures |= {"dead letters": len(found.dead_letters)}
        bugs = self.history.where(lambda it: it.value.get("status") == 500)
        row.require(not bugs, f"{len(bugs)} answers were 500")
        for promise, sentences in check(self.history.operations, found).items():
            row.figures[f"violations of {promise}"] = len(sentences)
            row.violations += [f"{promise}: {sentence}" for sentence in sentences[:SHOWN]]
        stack.keep = bool(row.violations)
        return found

    def figures(self) -> Mapping[str, object]:
        """What the load did, and at which rate it was answered."""
        writes = self.history.where(lambda it: it.f in WRITES)
        unclear = [it for it in writes if it.outcome == INFO]
        commands = self.history.where(lambda it: it.f in (*COMMANDS, UNREADABLE) and it.outcome == OK)
        return {
            "operations": len(self.history.operations),
            "writes answered": _count(writes, lambda it: it.outcome in (OK, FAIL)),
            "writes answered a second": _count(writes, lambda it: it.outcome in (OK, FAIL)) / max(self.seconds, 0.1),
            "writes without a clear answer, by status": dict(Counter(str(it.value["status"]) for it in unclear)),
            "commands": len(commands),
            "commands a second": len(commands) / max(self.seconds, 0.1),
        }


def require_rate(row: Row, load: Load, *, writes: float, commands: float) -> None:
    """A row is void below the load that it names."""
    figures = load.figures()
    for name, least in (("writes answered a second", writes), ("commands a second", commands)):
        row.require(float(str(figures[name])) >= least, f"void: {name} were under {least:.0f}")


def run(
    program: Callable[[argparse.Namespace], Row], *, seconds: float | None = None, times: int | None = None
) -> None:
    """Read the options that the program has, run it, print its table and exit."""
    parser = argparse.ArgumentParser(prog=program.__module__, description=program.__doc__)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6), help="default: a random one, printed")
    if seconds is not None:
        parser.add_argument("--seconds", type=float, default=seconds, help="length of the load (default %(default)s)")
    if times is not None:
        parser.add_argument("--times", type=int, default=times, help="how often it is done (default %(default)s)")
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    sys.exit(program(options).finish())


def _count(operations: list[Operation], test: Callable[[Operation], bool]) -> int:
    return sum(map(test, operations))
