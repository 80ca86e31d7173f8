"""Waiting that suits the caller: a thread blocks, a task gives its thread back to the event loop.

A task is a greenlet: a function that runs on the loop's thread, and that the loop goes on with when what it waits for
is there. So the same code serves requests by the thousand on one thread, and commands or the command line in threads
of their own. A task must not block in any other way: whoever waits, waits by what is here.
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
    """A function that runs on a loop. It is started by `switch()`, from the loop's own callbacks only."""

    def __init__(self, loop: asyncio.AbstractEventLoop, run: Callable[..., None]) -> None:
        """`run` must not raise: nobody would hear it but the loop's handler of exceptions."""
        parent = getcurrent()  # the loop's, whoever makes the task: it is where a task gives its thread back to
        while isinstance(parent, Task):
            assert parent.parent is not None
            parent = parent.parent
        super().__init__(run, parent)
        self.loop = loop
        self.thread = threading.get_ident()


def current_task() -> Task | None:
    """Return the task that calls, None in a thread."""
    task = getcurrent()
    return task if isinstance(task, Task) else None


def wait_for_socket(descriptor: int, deadline: Deadline, *, to_write: bool = False) -> bool:
    """Wait until the socket can be read from, or written to; false when `deadline` passed first."""
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
    # A loop that is late runs the timer before it looks at the socket: the answer may have been there in time.
    return came or _is_ready(descriptor, 0, to_write=to_write)


def sleep(seconds: float) -> None:
    """Wait for so many seconds."""
    if current_task() is None:
        time.sleep(seconds)
    else:
        Gate().wait(seconds)


class Gate:
    """Opened once, by anybody from any thread; waited for by one."""

    __slots__ = ("_event", "_task", "is_open")

    def __init__(self) -> None:
        self.is_open = False
        self._task: Task | None = None
        self._event: threading.Event | None = None

    def open(self) -> None:
        """Let whoever waits go on."""
        self.is_open = True  # before the look at who waits: he looks at it after saying so
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
        """Wait until it is open; false when so many seconds passed first."""
        task = current_task()
        if task is None:
            self._event = event = threading.Event()
            return self.is_open or event.wait(seconds) or self.is_open
        self._task = task
        if self.is_open:  # and whoever opened it may go on with the task, but for what it waits for next
            self._task = None
            return True
        timer = call_after(task.loop, seconds, self._go_on)
        try:
            _give_back(task)
        finally:
            timer.cancel()
        return self.is_open

    def _go_on(self) -> None:
        """Switch to the task, once for each time that it waits."""
        task, self._task = self._task, None
        if task is not None:
            task.switch()


def call_after(
    loop: asyncio.AbstractEventLoop, seconds: float, function: Callable[..., object], *arguments: object
) -> asyncio.TimerHandle:
    """Call the function when so many seconds are over: uvloop's own timers run up to a millisecond before."""
    return loop.call_later(seconds + TIMER_SECONDS, function, *arguments)


def _is_ready(descriptor: int, seconds: float, *, to_write: bool) -> bool:
    ready = select.poll()
    ready.register(descriptor, select.POLLOUT if to_write else select.POLLIN)
    return bool(ready.poll(seconds * 1000))


def _give_back(task: Task) -> Any:
    assert task.parent is not None
    return task.parent.switch()
