"""The handler that writes the log: whoever logs puts a line aside, one thread writes it.

A reader of standard error that hangs (a log shipper, a full pipe) must stop no caller and no thread of Kafka. So what
waits is bounded. What does not fit is left out and counted, and when all that waited is written one line says how much.

The thread begins with the first line of a process: gunicorn's master logs before and after it forks, and a child has
neither the thread nor anything to write of what its parent put aside. The master loads this file by its path.
"""

import logging
import os
import select
import signal
import threading
import time
import traceback
from collections import deque

MAX_BYTES = 1024 * 1024
"""So much waits at the most, some thousand lines; one line that is longer is taken where none waits."""

END_SECONDS = 1.0
"""So long the end of the process waits for what is not written yet."""

STANDARD_ERROR = 2
NAME = "app.utils.log_writer"  # __name__ is another one in gunicorn's master


class LogWriter(logging.Handler):
    """Writes lines to a descriptor. Logging never blocks; `await_written` and `close` do, for END_SECONDS at most."""

    def __init__(self, descriptor: int = STANDARD_ERROR) -> None:
        super().__init__()
        self._descriptor = descriptor
        self._begin()

    def _begin(self) -> None:
        self._process = os.getpid()
        self._changed = threading.Condition()
        self._waiting: deque[bytes] = deque()
        self._bytes = 0  # of what waits, and of the line that is being written
        self._left_out = 0
        self._closed = False
        self._thread: threading.Thread | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Put the line aside, as it is for the thread and the request that log it."""
        try:
            line = self._encoded(record)
        except Exception:  # noqa: BLE001 - as in every handler: the log says that it is a bug, and nothing fails
            line = traceback.format_exc().encode("utf-8", "backslashreplace")
        if self._process != os.getpid():
            self._begin()
        with self._changed:
            if self._bytes and (self._left_out or self._bytes + len(line) > MAX_BYTES):
                self._left_out += 1  # until that was told: so it stands where the lines are missing
            else:
                self._add(line)
            self._require_thread()

    def await_written(self) -> None:
        """Wait until all is written, END_SECONDS at most. Not `flush`: the end of the process calls that as well."""
        if self._process == os.getpid():
            deadline = time.monotonic() + END_SECONDS
            with self._changed:
                while self._bytes and (left := deadline - time.monotonic()) > 0:
                    self._changed.wait(left)

    def close(self) -> None:
        """Await that what waits is written, and let the thread end. The end of the process calls this."""
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
        try:
            thread.start()
        except RuntimeError:  # the system has no thread to give: the next line tries again
            return
        self._thread = thread

    def _write_on(self) -> None:
        # A signal that this thread took would not wake gunicorn's master.
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
        record.correlation_id = None
        self._left_out = 0
        self._add(self._encoded(record))


def _write(descriptor: int, line: bytes) -> bool:
    """Write it all, however long that takes. Return whether that could be done."""
    while line:
        try:
            line = line[os.write(descriptor, line) :]
        except BlockingIOError:  # whoever gave us the descriptor reads it without blocking, and shares the flag
            select.select([], [descriptor], [])
        except OSError:  # its reader is gone, or the disk is full
            return False
    return True
