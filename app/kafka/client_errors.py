"""What Kafka's client complains about, remembered: it often knows the reason of what it only ends with a time-out."""

import logging
import threading
import time
from types import TracebackType

from app.services.waiting import names_of_errors

RECENT_SECONDS = 10.0
MOST_REMEMBERED = 50


class KafkaReasons(logging.Handler):
    """Listens to the client's warnings while it is entered."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._lock = threading.Lock()
        self._heard: dict[str, tuple[float, str]] = {}

    def __enter__(self) -> "KafkaReasons":
        logging.getLogger("kafka").addHandler(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        logging.getLogger("kafka").removeHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        """Remember the errors that a line names."""
        message = record.getMessage()
        with self._lock:
            for name in names_of_errors(message):
                self._heard.pop(name, None)
                self._heard[name] = time.monotonic(), message
            while len(self._heard) > MOST_REMEMBERED:
                del self._heard[next(iter(self._heard))]

    def latest(self, words: str = "") -> list[str]:
        """Return the names of the errors of the last RECENT_SECONDS, the latest last, in lines that have the words."""
        since = time.monotonic() - RECENT_SECONDS
        with self._lock:
            return [name for name, (at, message) in self._heard.items() if at >= since and words in message]
