"""Logging: one line per event, to standard error, as text or JSON, without payloads and secrets.

Every line, a library's too, carries the correlation id of the request, command or record that the thread works on, and
the id of its trace, if it has one. At `debug` there is one line per request, command and record sent, so one id can be
followed from HTTP through the outbox to Kafka and back. From `info` on there are only lines that a person should read.
"""

import contextvars
import json
import logging
import re
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

correlation_id: contextvars.ContextVar[str | None] = contextvars.ContextVar("correlation_id", default=None)
"""The correlation id of the request, command or record that the thread or task works on."""

_traceparent: contextvars.ContextVar[str | None] = contextvars.ContextVar("traceparent", default=None)

TEXT_FORMAT = "%(asctime)s %(levelname)s %(threadName)s %(name)s [%(correlation_id)s%(trace)s] %(message)s"
REPEAT_SECONDS = 60.0
LIBRARY_REPEAT_SECONDS = 300.0
LIBRARY_LINES = 3  # lines of Kafka's client per REPEAT_SECONDS
MAX_KEYS = 200

kafka_is_away = threading.Event()
"""Set while no broker answers: one line says so, and the lines of Kafka's client are only counted."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_VARYING = re.compile(r"0x[0-9a-f]+|[0-9]+")


def about(named: str | None, traceparent: str | None = None) -> None:
    """Let the lines from now on have this correlation id, and the id of this trace."""
    correlation_id.set(named)
    _traceparent.set(traceparent)


@contextmanager
def keeping_ids() -> Iterator[None]:
    """Give the lines after the body the ids that they had before."""
    before = correlation_id.get(), _traceparent.get()
    try:
        yield
    finally:
        about(*before)


class Repeats:
    """Finds lines that repeat. Numbers make no difference: attempts, ports, offsets."""

    def __init__(self, seconds: float = REPEAT_SECONDS) -> None:
        self._seconds = seconds
        self._lock = threading.Lock()
        self._logged: dict[str, tuple[float, int]] = {}  # when, and how often left out since

    def admit(self, line: str) -> int | None:
        """Return None where a like line was logged within `seconds`, else how many like it were left out since then."""
        key, now = _VARYING.sub("#", line), time.monotonic()
        with self._lock:
            at, left_out = self._logged.pop(key, (-self._seconds, 0))
            if now - at < self._seconds:
                self._logged[key] = at, left_out + 1
                return None
            self._logged[key] = now, 0
            while len(self._logged) > MAX_KEYS:
                del self._logged[next(iter(self._logged))]
        return left_out

    def say(self, log: logging.Logger, level: int, line: str) -> None:
        """Log the line, unless it was said in the last seconds."""
        left_out = self.admit(line)
        if left_out is not None:
            log.log(level, "%s%s", line, f" ({left_out} more like this meanwhile)" if left_out else "")


class Libraries(logging.Filter):
    """Lets Kafka's client log warnings only, no repeats, a few lines per minute.

    At debug Kafka's client prints keys and values. While a broker is absent the client writes hundreds of lines per
    minute, and the watch says in one sentence what they are about.
    """

    def __init__(self) -> None:
        super().__init__()
        self._repeats = Repeats(LIBRARY_REPEAT_SECONDS)
        self._let_through: deque[float] = deque(maxlen=LIBRARY_LINES)
        self._left_out = 0

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether to log the line. A logged line says how many were left out before it."""
        if not record.name.startswith("kafka"):
            return True
        if record.levelno < logging.WARNING:
            return False
        now, message = time.monotonic(), record.getMessage()
        full = len(self._let_through) == LIBRARY_LINES and now - self._let_through[0] < REPEAT_SECONDS
        if kafka_is_away.is_set() or full or self._repeats.admit(f"{record.name} {message}") is None:
            self._left_out += 1
            return False
        self._let_through.append(now)
        if self._left_out:
            record.msg, record.args = f"{message} (and {self._left_out} lines of Kafka's client left out)", ()
            self._left_out = 0
        return True


class TextFormatter(logging.Formatter):
    """One line per message: control characters are escaped, so a caller's line break begins no line.

    That is true of correlation ids too: those of commands may hold any character. The lines of a traceback are
    indented, because the text of an exception may hold a caller's line break.
    """

    def formatMessage(self, record: logging.LogRecord) -> str:
        return _escaped(super().formatMessage(record))

    def formatException(self, ei: Any) -> str:
        return "\n".join(f"  {_escaped(line)}" for line in super().formatException(ei).split("\n"))


def _escaped(text: str) -> str:
    return _CONTROL.sub(lambda found: repr(found[0])[1:-1], text)


class JsonFormatter(logging.Formatter):
    """One JSON object per line."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "level": record.levelname,
            "logger": record.name,
            "thread": record.threadName,
            "correlation_id": record.correlation_id,  # type: ignore[attr-defined]  # the filter below sets it
            "message": record.getMessage(),
        }
        if (trace_id := record.trace_id) is not None:  # type: ignore[attr-defined]  # likewise
            line["trace_id"] = trace_id
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line)  # orjson would refuse a lone surrogate, and the line with it


def configure(level: str, style: str, handler: logging.Handler) -> None:
    """Set up the log of this process. `style` is `text` or `json`; gunicorn's lines go to the same `handler`."""
    handler.setFormatter(JsonFormatter() if style == "json" else TextFormatter(TEXT_FORMAT))
    handler.addFilter(add_ids)
    handler.addFilter(Libraries())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("app").setLevel(level.upper())
    for name in ("gunicorn.error", "gunicorn.access"):
        logging.getLogger(name).handlers.clear()
        logging.getLogger(name).propagate = True


def add_ids(record: logging.LogRecord) -> bool:
    """Give the line the ids that a handler's format may show; true."""
    traceparent = _traceparent.get()
    trace_id = None if traceparent is None else traceparent.split("-")[1]
    record.correlation_id, record.trace_id = correlation_id.get(), trace_id
    record.trace = "" if trace_id is None else f" trace_id={trace_id}"
    return True
