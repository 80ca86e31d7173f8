"""One fault row: the load while it runs, what came of it, and the verdict."""

import argparse
import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

from tests.faults.checker import TWINS_PER_RECORDS, check, without_twins
from tests.faults.command_load import NOT_READABLE, command_load
from tests.harness.found import Found, find
from tests.harness.history import COMMANDS, FAIL, INFO, OK, UNREADABLE, History, Operation
from tests.harness.load import WRITES, KnownOrders, http_load
from tests.harness.stack import Stack
from tests.harness.waiting import until

SHOWN = 5
PROMISES = tuple(f"I{number}" for number in range(1, 11))


@dataclass
class Row:
    """One run: what happened, in the order in which it is shown, and what was not as promised.

    `own` are the row's own figures, `voids` the reasons why it proves nothing, `counts` the violations by promise.
    """

    title: str
    figures: dict[str, object] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    own: list[str] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    voids: list[str] = field(default_factory=list)
    struck: int = 0

    @property
    def verdict(self) -> str:
        """`FAIL`, `void` or `pass`."""
        return "FAIL" if self.violations else "void" if self.voids else "pass"

    def require(self, holds: bool, sentence: str, promise: str | None = None) -> None:
        """Note a violation, of the promise if one is named, unless `holds`."""
        if promise is not None:
            self.counts[promise] = self.counts.get(promise, 0) + (not holds)
        if not holds:
            self.violations.append(f"{promise}: {sentence}" if promise else sentence)

    def require_struck(self, holds: bool, sentence: str) -> None:
        """Note that the row proves nothing unless `holds`."""
        if not holds:
            self.voids.append(sentence)

    def finish(self) -> int:
        """Print the table and return the exit code."""
        shown = {**self.figures, **{f"violations of {name}": count for name, count in self.counts.items()}}
        width = max(map(len, shown), default=0)
        print(f"\n{self.title}")
        for name, figure in shown.items():
            print(f"  {name:<{width}}  {f'{figure:.1f}' if isinstance(figure, float) else figure}")
        for sentence in self.own:
            print(f"  {sentence}")
        for sentence in self.voids:
            print(f"  VOID: {sentence}")
        for sentence in self.violations:
            print(f"  VIOLATED: {sentence}")
        print(f"  {self.verdict}", flush=True)
        return 0 if self.verdict == "pass" else 1


@dataclass
class Load:
    """The load of one run and what it did. `seconds` is how long it ran, `without` what the HTTP clients never do."""

    history: History = field(default_factory=History)
    known: KnownOrders = field(default_factory=KnownOrders)
    seconds: float = 0.0
    without: Collection[str] = ()

    @contextmanager
    def running(
        self, stack: Stack, seed: int, wishes: float = 120, commands: float = 120, unreadable: float = NOT_READABLE
    ) -> Iterator[None]:
        """Both loads at so many HTTP wishes (nine in ten are writes) and commands a second; 0 leaves one out."""
        started = time.monotonic()
        with ExitStack() as loads:
            if wishes:
                clients = http_load(stack.ports, self.known, self.history, seed, wishes, without=self.without)
                loads.enter_context(clients)
            if commands:
                place = (stack.broker.bootstrap, stack.commands_topic)
                loads.enter_context(command_load(*place, self.known, self.history, seed, commands, unreadable))
            yield
            self.seconds += time.monotonic() - started

    def await_writes(self, count: int, *statuses: int, seconds: float) -> None:
        """Block until so many more writes were answered, with one of the statuses if any are given.

        Raises TimeoutError.
        """
        since = time.monotonic()

        def wanted(it: Operation) -> bool:
            answered = it.value.get("status") in statuses if statuses else it.outcome == OK
            return answered and it.f in WRITES and it.invoked >= since

        until(lambda: len(self.history.where(wanted)) >= count, f"{count} writes {statuses or ''}", seconds)

    def judge(self, stack: Stack, row: Row, *, twins: bool = False) -> Found:
        """Hold what is there now against the history; the stack must be quiet. `twins`: the row may have some."""
        found = find(stack)
        row.figures |= self.figures()
        row.figures |= {"orders": len(found.rows), "records on the events topic": len(found.events)}
        row.figures |= {"dead letters": len(found.dead_letters)}
        bugs = self.history.where(lambda it: it.value.get("status") == 500)
        row.require(not bugs, f"{len(bugs)} answers were 500")
        if twins:
            records = len(found.events)
            found, count = without_twins(found)
            allowed = max(records / TWINS_PER_RECORDS, 1)
            row.own.append(f"{count} twins in {records} records")
            row.require(count <= allowed, f"{count} twins in {records} records", "I5")
        for promise, sentences in check(self.history.operations, found).items():
            mark = promise.split()[0]
            row.counts[mark] = row.counts.get(mark, 0) + len(sentences)
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
            "writes without a clear answer": dict(
                Counter(str(it.value["status"] or it.value["lost"]) for it in unclear)
            ),
            "commands": len(commands),
            "commands a second": len(commands) / max(self.seconds, 0.1),
        }


def require_rate(row: Row, load: Load, *, writes: float, commands: float) -> None:
    """A row is void below the load that it names."""
    figures = load.figures()
    for name, least in (("writes answered a second", writes), ("commands a second", commands)):
        row.require_struck(float(str(figures[name])) >= least, f"{name} were under {least:.0f}")


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


def _end(operation: Operation) -> str:
    """Return how an operation without a clear answer ended: a status, or how the connection was lost."""
    return str(operation.value["status"] or operation.value["lost"])
