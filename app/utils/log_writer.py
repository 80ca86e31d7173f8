"""The handler that writes the log: a logging thread only queues its line, and one thread writes the queue.

A reader of standard error that hangs (a log shipper, a full pipe) must stop neither callers nor Kafka threads. The
queue is bounded. Lines that do not fit are left out and counted; when the queue is empty again, one line says how many.

The thread starts with the first line of a process. gunicorn's master logs before and after it forks, and a child has
neither its parent's thread nor its parent's lines to write. The master loads this file by its path.
"""

import contextlib
import logging
import os
import select
import signal
import threading
import time
import traceback
from collections import deque

MAX_BYTES = 1024 * 1024
"""The bound of the queue, some thousand lines. An empty queue accepts one line of any length."""

END_SECONDS = 1.0
"""How long the end of the process waits for lines that are not written yet."""

STANDARD_ERROR = 2
NAME = "app.utils.log_writer"  # not __name__, which differs in gunicorn's master


class LogWriter(logging.Handler):
    """Writes lines to a descriptor. Logging never blocks; `await_written` and `close` block for at most END_SECONDS."""

    def __init__(self, descriptor: int = STANDARD_ERROR) -> None:
        super().__init__()
        self._descriptor = descriptor
        self._begin()

    def _begin(self) -> None:
        self._process = os.getpid()
        self._changed = threading.Condition()
        self._waiting: deque[bytes] = deque()
        self._bytes = 0  # of the queue, and of the line that is being written
        self._left_out = 0
        self._closed = False
        self._thread: threading.Thread | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Queue the line, formatted in the thread and the request that log it."""
        try:
            line = self._encoded(record)
        except Exception:  # noqa: BLE001 - a log call with a bug must not fail its caller: the log shows the bug
            line = traceback.format_exc().encode("utf-8", "backslashreplace")
        if self._process != os.getpid():
            self._begin()
        with self._changed:
            if self._bytes and (self._left_out or self._bytes + len(line) > MAX_BYTES):
                self._left_out += 1  # until the line about them is written: so it stands where they are missing
            else:
                self._add(line)
            self._require_thread()

    def await_written(self) -> None:
        """Block until the queue is written, at most END_SECONDS. Not `flush`: the end of the process calls that."""
        if self._process == os.getpid():
            deadline = time.monotonic() + END_SECONDS
            with self._changed:
                while self._bytes and (left := deadline - time.monotonic()) > 0:
                    self._changed.wait(left)

    def close(self) -> None:
        """Wait until the queue is written, and let the thread end. The end of the process calls this."""
        self.await_written()
        if self._process == os.getpid():
            with self._changed:
                self._closed = True
                self._changed.notify_all()
        super().close()

    def _encoded(self, record: logging.LogRecord) -> bytes:
        return (self.format(record) + "\n").encode("utf-8", "backslashreplace")

    def _add(self, line: bytes) -> None:
        self._waiting.append(line)
        self._bytes += len(line)
        self._changed.notify_all()

    def _require_thread(self) -> None:
        if self._thread is not None and self._thread.is_alive():
            return
        thread = threading.Thread(target=self._write_on, name="log", daemon=True)
        with contextlib.suppress(RuntimeError):  # the system has no thread left: the next line tries again
            thread.start()
            self._thread = thread

    def _write_on(self) -> None:
        # A signal that this thread received would not wake gunicorn's master.
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        while (line := self._next()) is not None:
            is_written = _write(self._descriptor, line)
            with self._changed:
                self._bytes -= len(line)
                self._left_out += not is_written
                if self._left_out and not self._waiting and is_written:
                    self._tell()
                self._changed.notify_all()

    def _next(self) -> bytes | None:
        with self._changed:
            while not self._waiting:
                if self._closed:
                    return None
                self._changed.wait()
            return self._waiting.popleft()

    def _tell(self) -> None:
        sentence = "%s lines of the log were left out here: standard error was not read, or could not be written"
        record = logging.LogRecord(NAME, logging.WARNING, __file__, 0, sentence, (self._left_out,), None)
        self.filter(record)  # gives it what every line has
        self._left_out = 0
        self._add(self._encoded(record))


def _write(descriptor: int, line: bytes) -> bool:
    """Write the whole line, however long that takes. Return whether the descriptor took it."""
    while line:
        try:
            line = line[os.write(descriptor, line) :]
        except BlockingIOError:  # the reader shares the descriptor's flags, and has set it to not block
            select.select([], [descriptor], [])
        except OSError:  # the reader is gone, or the disk is full
            return False
    return True
