"""Threads for the requests to the console, which wait for PostgreSQL and Kafka in ways that would stop the event loop.

Few threads and a short line: whoever comes when it is full is told to come again. A request that takes too long is
answered so; its thread goes on until its own limits end it, and its answer goes nowhere.
"""

import logging
import queue
import threading
from collections.abc import Callable, Iterable
from typing import Any

from app.utils.tasks import Gate

log = logging.getLogger(__name__)

THREADS = 4
MOST_WAITING = 32
ANSWER_SECONDS = 9.0  # the longest that the console's own limits add up to, and some more

Wsgi = Callable[[dict[str, Any], Any], Iterable[bytes]]
Answered = tuple[int, list[tuple[str, str]], Iterable[bytes]]
"""Status, headers and body."""


class NoAnswer(Exception):
    """The console did not answer; `str()` says why."""


class _Call:
    """One call, its answer or its exception, and the gate that says that one of them is there."""

    __slots__ = ("answer", "ask", "done", "error")

    def __init__(self, ask: Callable[[], Answered]) -> None:
        self.ask = ask
        self.done = Gate()
        self.answer: Answered | None = None
        self.error: BaseException | None = None


class ConsoleThreads:
    """The threads, which begin with the first requests and end with the process."""

    def __init__(
        self, threads: int = THREADS, most_waiting: int = MOST_WAITING, seconds: float = ANSWER_SECONDS
    ) -> None:
        self._most = threads
        self._seconds = seconds
        self._waiting: queue.Queue[_Call] = queue.Queue(most_waiting)
        self._started = self._idle = 0
        self._lock = threading.Lock()

    @property
    def waiting(self) -> int:
        """How many requests wait for a thread."""
        return self._waiting.qsize()

    def ask(self, wsgi: Wsgi, environ: dict[str, Any]) -> Answered:
        """Return the app's whole answer. Gives the loop back meanwhile, for `seconds` at the longest.

        Raises NoAnswer, and whatever the app raises.
        """
        call = _Call(lambda: ask_wsgi(wsgi, environ, whole=True))
        try:
            self._waiting.put_nowait(call)
        except queue.Full:
            raise NoAnswer("Too many look at the console: please try again") from None
        self._start_one()
        if not call.done.wait(self._seconds):
            raise NoAnswer("The console took too long: look again; an act may be done all the same")
        if call.error is not None:
            raise call.error
        assert call.answer is not None
        return call.answer

    def _start_one(self) -> None:
        """Start a thread if all are at work and there may be one more. They are daemons: each ends with the process."""
        with self._lock:
            if self._started == self._most or self._idle >= self._waiting.qsize():
                return
            self._started += 1
            name = f"console-{self._started}"
        threading.Thread(target=self._work, name=name, daemon=True).start()

    def _work(self) -> None:
        while True:
            with self._lock:
                self._idle += 1
            call = self._waiting.get()
            with self._lock:
                self._idle -= 1
            try:
                call.answer = call.ask()
            except BaseException as error:  # noqa: BLE001 - the task that waits raises it
                call.error = error
            call.done.open()
            del call


def ask_wsgi(wsgi: Wsgi, environ: dict[str, Any], *, whole: bool = False) -> Answered:
    """Call the app, and return its answer; with `whole` its body is read to the end. The head has a date of its own."""
    started: list[Any] = []

    def start_response(status: str, headers: list[tuple[str, str]], _: Any = None) -> Any:
        started[:] = [status, headers]

    body = wsgi(environ, start_response)
    if whole:
        try:
            pieces = [b"".join(body)]
        finally:
            getattr(body, "close", lambda: None)()
        body = pieces
    return int(started[0][:3]), [field for field in started[1] if field[0].lower() != "date"], body
