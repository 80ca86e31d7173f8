"""What a row's code works with: servers and instances, the load, the time it has, and the verdict at its end."""

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from tests.faults.command_load import NOT_READABLE
from tests.faults.resources import Usage, await_threads, log_lines, measure, measure_back
from tests.faults.row import Load, Row
from tests.harness.found import Found, await_quiet, query
from tests.harness.history import INFO, Operation
from tests.harness.load import GIVEN_UP
from tests.harness.service import Instance
from tests.harness.stack import Stack
from tests.harness.waiting import READY_SECONDS, until

QUIET_SECONDS = 30.0
MEMORY_MIB = 50.0
LOG_LINES_A_SECOND = 20.0
WARM_SECONDS = 2.0


class Trial:
    """One run of one row. `seconds` is how long its faults last, `times` how often those strike that are counted."""

    def __init__(self, stack: Stack, row: Row, seed: int, seconds: float, times: int) -> None:
        self.stack = stack
        self.row = row
        self.seed = seed
        self.seconds = seconds
        self.times = times
        self.rng = random.Random(seed)
        self.load = Load()
        self._until: float | None = None
        self._before: Usage | None = None
        self._lines = [0]
        self._measured_at = 0.0

    @property
    def instances(self) -> list[Instance]:
        """The instances of the service."""
        return self.stack.instances

    @contextmanager
    def under_load(
        self, wishes: float = 120, commands: float = 120, unreadable: float = NOT_READABLE
    ) -> Iterator[None]:
        """Both loads run in the body, against two instances unless the row has started others.

        What the instances use is measured first, after a moment of load. The body begins when writes are answered.
        """
        if not self.instances:
            self.stack.start(2)
        with self.load.running(self.stack, self.seed + 1, wishes, commands):
            self.pause(WARM_SECONDS)
        self.measure()
        with self.load.running(self.stack, self.seed, wishes, commands, unreadable):
            if wishes:
                self.await_writes(30)
            yield

    def measure(self) -> None:
        """Remember what the instances use now, to compare with at the end."""
        await_threads(self.instances)
        self._before = measure(self.stack)
        self._lines = log_lines(self.instances)
        self._measured_at = time.monotonic()

    def lasts(self) -> bool:
        """Whether the row's time goes on; it begins with the first call."""
        if self._until is None:
            self._until = time.monotonic() + self.seconds
        return time.monotonic() < self._until

    def strike(self, count: int = 1) -> None:
        """Count faults that really struck."""
        self.row.struck += count

    def pause(self, least: float, most: float | None = None) -> None:
        """Let the load run for so many seconds, a random time between both if two are given."""
        time.sleep(self.rng.uniform(least, most if most is not None else least))

    def operations(self, since: float, test: Callable[[Operation], bool] = lambda _: True) -> list[Operation]:
        """Return the operations so far that began after the monotonic time `since` and pass the test."""
        return self.load.history.where(lambda it: it.invoked >= since and test(it))

    def await_writes(self, count: int, *statuses: int, seconds: float = READY_SECONDS) -> None:
        """As the load's: block until so many more writes were answered."""
        self.load.await_writes(count, *statuses, seconds=seconds)

    def own(self, sentence: str, holds: bool = True) -> None:
        """Note a figure of the row's own, and a violation where it is not as promised."""
        self.row.own.append(sentence)
        self.row.require(holds, sentence)

    def no_failures(self, since: float, allowed: int = 0, *lost: str) -> None:
        """Require that at most so many requests since then failed; `lost` names ends that are the client's own."""
        own_ends = {GIVEN_UP, *lost}
        failed = self.operations(
            since, lambda it: it.outcome == INFO and "status" in it.value and it.value["lost"] not in own_ends
        )
        kinds = sorted({str(it.value["status"] or it.value["lost"]) for it in failed})
        self.own(f"{len(failed)} failed requests {kinds or ''}".strip(), len(failed) <= allowed)

    def query(self, statement: str, *parameters: object) -> list[tuple[Any, ...]]:
        """Run one statement on the database and return its rows."""
        return query(self.stack.database_url, statement, parameters)

    def settle(self, quiet: float = QUIET_SECONDS, *, twins: bool = False) -> Found:
        """Wait for quiet at most so many seconds [I9], measure [I10], and hold everything against the promises."""
        until(lambda: all(instance.ready() for instance in self.instances), "instances that are ready")
        row = self.row
        try:
            row.figures["quiet after, s"] = await_quiet(self.stack, quiet)
            row.require(True, "", "I9")
        except TimeoutError as error:
            row.require(False, str(error), "I9")
        self._require_threads()
        if self._before is not None:
            self._require_resources(self._before)
        return self.load.judge(self.stack, row, twins=twins)

    def _require_threads(self) -> None:
        for instance in self.instances:
            row = instance.stuck_threads()
            self.row.require(not row, f"threads of {instance.folder.name} that do not beat: {row}", "I9")

    def _require_resources(self, before: Usage) -> None:
        seconds = time.monotonic() - self._measured_at
        written = [now - then for now, then in zip(log_lines(self.instances), self._lines, strict=True)]
        now = measure_back(self.stack, before)
        row = self.row
        row.figures["memory, MiB, before and after"] = f"{before.memory:.0f}, {now.memory:.0f}"
        row.figures["threads, descriptors, connections, before and after"] = (
            f"{before.threads}/{before.descriptors}/{before.connections}, "
            f"{now.threads}/{now.descriptors}/{now.connections}"
        )
        row.figures["log lines a second"] = max(written) / seconds
        row.require(now.memory <= before.memory + MEMORY_MIB, f"{now.memory:.0f} MiB after {before.memory:.0f}", "I10")
        row.require(not now.above(before), ", ".join(now.above(before)), "I10")
        many = max(written) / seconds > LOG_LINES_A_SECOND
        row.require(not many, f"{max(written) / seconds:.0f} log lines a second", "I10")
