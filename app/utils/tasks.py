"""Waiting that suits the caller: a thread blocks, a task gives its thread back to the event loop.

A task is a greenlet: a function on the loop's thread that the loop resumes when the awaited thing is there. So the same
code serves requests by the thousand on one thread, and commands or the command line in threads of their own. Code that
may run in a task must wait by the functions of this module alone.
"""

import asyncio
import select
import threading
import time
from collections.abc import Callable
from typing import Any

from greenlet import getcurrent, greenlet

from app.utils.deadline import Deadline

TIMER_SECONDS = 0.001


class Task(greenlet):
    """A function that runs on a loop. Start it by `switch()`, and only from a callback of the loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop, run: Callable[..., None]) -> None:
        """`run` must not raise: the exception would end in the loop's exception handler."""
        parent = getcurrent()  # the loop's greenlet, also where a task makes this one: a task switches back to it
        while isinstance(parent, Task):
            assert parent.parent is not None
            parent = parent.parent
        super().__init__(run, parent)
        self.loop = loop
        self.thread = threading.get_ident()


def current_task() -> Task | None:
    """Return the calling task, None in a thread."""
    task = getcurrent()
    return task if isinstance(task, Task) else None


def wait_for_socket(descriptor: int, deadline: Deadline, *, to_write: bool = False) -> bool:
    """Wait until the socket can be read, or written. Return false where `deadline` passed first."""
    task = current_task()
    seconds = max(deadline.remaining, 0)
    if task is None:
        return _is_ready(descriptor, seconds, to_write=to_write)
    add, remove = (
        (task.loop.add_writer, task.loop.remove_writer) if to_write else (task.loop.add_reader, task.loop.remove_reader)
    )
    add(descriptor, task.switch, True)
    timer = call_after(task.loop, seconds, task.switch, False)
    try:
        came = bool(_give_back(task))
    finally:
        timer.cancel()
        remove(descriptor)
    # A late loop runs the timer before it polls the socket, so the data may have been there in time.
    return came or _is_ready(descriptor, 0, to_write=to_write)


def sleep(seconds: float) -> None:
    """Wait for `seconds`."""
    if current_task() is None:
        time.sleep(seconds)
    else:
        Gate().wait(seconds)


class Gate:
    """A gate that any thread opens once, and that one thread or task waits for."""

    __slots__ = ("_event", "_task", "is_open")

    def __init__(self) -> None:
        self.is_open = False
        self._task: Task | None = None
        self._event: threading.Event | None = None

    def open(self) -> None:
        """Let the waiting thread or task go on."""
        self.is_open = True  # before the look at `_task` and `_event`: `wait` sets those before it looks here
        task, event = self._task, self._event
        if event is not None:
            event.set()
        elif task is None:
            return
        elif task.thread == threading.get_ident():
            task.loop.call_soon(self._go_on)
        else:
            task.loop.call_soon_threadsafe(self._go_on)

    def wait(self, seconds: float) -> bool:
        """Wait until the gate is open. Return false where `seconds` passed first."""
        task = current_task()
        if task is None:
            self._event = event = threading.Event()
            return self.is_open or event.wait(seconds) or self.is_open
        self._task = task
        if self.is_open:  # `open` may have seen the task, and must not resume it in its next wait
            self._task = None
            return True
        timer = call_after(task.loop, seconds, self._go_on)
        try:
            _give_back(task)
        finally:
            timer.cancel()
        return self.is_open

    def _go_on(self) -> None:
        """Switch to the task, at most once per wait."""
        task, self._task = self._task, None
        if task is not None:
            task.switch()


def call_after(
    loop: asyncio.AbstractEventLoop, seconds: float, function: Callable[..., object], *arguments: object
) -> asyncio.TimerHandle:
    """Call the function once `seconds` are over. uvloop's own timers run up to a millisecond early."""
    return loop.call_later(seconds + TIMER_SECONDS, function, *arguments)


def _is_ready(descriptor: int, seconds: float, *, to_write: bool) -> bool:
    ready = select.poll()
    ready.register(descriptor, select.POLLOUT if to_write else select.POLLIN)
    return bool(ready.poll(seconds * 1000))


def _give_back(task: Task) -> Any:
    assert task.parent is not None
    return task.parent.switch()
