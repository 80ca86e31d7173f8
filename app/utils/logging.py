"""Logging: one line an event, to standard error, without payloads and secrets."""

import logging
import time

FORMAT = "%(asctime)s %(levelname)s %(threadName)s %(name)s: %(message)s"


class RateLimit(logging.Filter):
    """Lets a logger speak once a second: while a broker is absent the client writes thousands of lines."""

    def __init__(self, per_second: int = 5) -> None:
        super().__init__()
        self._per_second = per_second
        self._second = 0
        self._count = 0

    def filter(self, record: logging.LogRecord) -> bool:
        """Tell whether the line is let through."""
        second = int(time.monotonic())
        if second != self._second:
            self._second, self._count = second, 0
        self._count += 1
        return self._count <= self._per_second


def configure(level: str) -> None:
    """Set the root logger up once; libraries speak from WARNING on, Kafka's at a bounded rate."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter(FORMAT))
    handler.addFilter(_kafka_limit)
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("app").setLevel(level.upper())


_limit = RateLimit()


def _kafka_limit(record: logging.LogRecord) -> bool:
    """Kafka's debug lines print keys and values, so it is held at WARNING, and bounded."""
    return not record.name.startswith("kafka") or (record.levelno >= logging.WARNING and _limit.filter(record))
