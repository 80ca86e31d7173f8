"""Logging: one line an event, to standard error, as text or JSON, without payloads and secrets.

Every line carries the correlation id of the request, command or record that it is about, also the lines that libraries
write meanwhile. At `debug` there is one line a request, command and record sent, so one id can be followed from HTTP
through the outbox to Kafka and back; from `info` on there are only lines that somebody should read.
"""

import contextvars
import json
import logging
import time
from datetime import UTC, datetime

correlation_id: contextvars.ContextVar[str | None] = contextvars.ContextVar("correlation_id", default=None)
"""What the current thread works on."""

TEXT_FORMAT = "%(asctime)s %(levelname)s %(threadName)s %(name)s [%(correlation_id)s] %(message)s"
LIBRARY_LINES_PER_SECOND = 5


class Libraries(logging.Filter):
    """Holds libraries at WARNING, and Kafka's at a few lines a second.

    At debug Kafka's client prints keys and values; while a broker is absent it writes thousands of lines.
    """

    def __init__(self) -> None:
        super().__init__()
        self._second = 0
        self._lines = 0

    def filter(self, record: logging.LogRecord) -> bool:
        """Tell whether the line is let through."""
        if not record.name.startswith("kafka"):
            return True
        second = int(time.monotonic())
        if second != self._second:
            self._second, self._lines = second, 0
        self._lines += 1
        return record.levelno >= logging.WARNING and self._lines <= LIBRARY_LINES_PER_SECOND


class JsonFormatter(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "level": record.levelname,
            "logger": record.name,
            "thread": record.threadName,
            "correlation_id": record.correlation_id,  # type: ignore[attr-defined]
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line)  # orjson would refuse a lone surrogate, and the line with it


def configure(level: str, style: str) -> None:
    """Set up the log of this process. `style` is `text` or `json`; gunicorn's lines go the same way."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter() if style == "json" else logging.Formatter(TEXT_FORMAT))
    handler.addFilter(_add_correlation_id)
    handler.addFilter(Libraries())
    handler.addFilter(_shorten)
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("app").setLevel(level.upper())
    for name in ("gunicorn.error", "gunicorn.access"):
        logging.getLogger(name).handlers.clear()
        logging.getLogger(name).propagate = True


def _shorten(record: logging.LogRecord) -> bool:
    """Say in a line what gunicorn writes a trace for: a socket's time-out is the client's doing."""
    if record.name == "gunicorn.error" and record.exc_info and isinstance(record.exc_info[1], BlockingIOError):
        record.msg, record.args, record.exc_info = "a client stopped within a request or an answer", (), None
        record.levelno, record.levelname = logging.WARNING, "WARNING"
    return True


def _add_correlation_id(record: logging.LogRecord) -> bool:
    record.correlation_id = correlation_id.get()
    return True
