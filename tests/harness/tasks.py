"""Code that runs in tasks of an event loop, as requests do."""

import asyncio
import functools
from collections.abc import Callable
from typing import Any

import uvloop

from app.utils.tasks import Gate, Task, current_task, sleep

LOOP_SECONDS = 60.0


class Started:
    """A call that runs in a task of its own."""

    def __init__(self, loop: asyncio.AbstractEventLoop, call: Callable[[], Any]) -> None:
        self._call = call
        self._result: Any = None
        self.error: Exception | None = None
        self._done = Gate()
        loop.call_soon(Task(loop, self._run).switch)

    @property
    def is_done(self) -> bool:
        return self._done.is_open

    def result(self) -> Any:
        """Wait for the end; return the result, or raise what the call raised."""
        assert self._done.wait(30), "the call did not end"
        if self.error is not None:
            raise self.error
        return self._result

    def failure(self) -> Exception | None:
        """Wait for the end; return what the call raised."""
        assert self._done.wait(30), "the call did not end"
        return self.error

    def _run(self) -> None:
        try:
            self._result = self._call()
        except Exception as error:  # noqa: BLE001 - raised in the task that waits
            self.error = error
        finally:
            self._done.open()


def start(call: Callable[..., Any], *arguments: Any, **options: Any) -> Started:
    """Begin a call from a task, in a task of its own."""
    task = current_task()
    assert task is not None
    return Started(task.loop, functools.partial(call, *arguments, **options))


def until(holds: Callable[[], bool]) -> None:
    """Let the others run until it holds."""
    for _ in range(2000):
        if holds():
            return
        sleep(0.005)
    raise AssertionError("it did not come to hold")


def run_in_a_task(call: Callable[[], Any]) -> Any:
    """Run the call in a task of a new loop; return its result, or raise what it raised."""
    loop = uvloop.new_event_loop()
    outcome: list[Started] = []

    def run() -> Any:
        try:
            return call()
        finally:
            loop.call_soon(loop.stop)

    outcome.append(Started(loop, run))
    timer = loop.call_later(LOOP_SECONDS, loop.stop)
    loop.run_forever()
    timer.cancel()
    loop.close()
    assert outcome[0].is_done, "the task did not end"
    return outcome[0].result()


def in_a_task(test: Callable[..., None]) -> Callable[..., None]:
    """Run a test in a task of a loop of its own."""

    @functools.wraps(test)
    def run(*arguments: Any, **options: Any) -> None:
        run_in_a_task(lambda: test(*arguments, **options))

    return run
