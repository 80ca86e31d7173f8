"""Alarms: what a person should look at. Each is logged once when it is raised and shown until it is cleared."""

import logging
import threading

from app.services.metrics import ALARMS

log = logging.getLogger(__name__)


class Alarms:
    """The open alarms of one process, by name."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: dict[str, str] = {}

    def ring(self, name: str, sentence: str) -> None:
        """Raise an alarm, or renew its sentence."""
        with self._lock:
            if self._open.get(name) != sentence:
                log.error("alarm %s: %s", name, sentence)
            self._open[name] = sentence
            ALARMS.labels(name).set(1)

    def happened(self, name: str, sentence: str) -> None:
        """Raise an alarm for what has happened once and cannot end by itself; `name` tells it from any other."""
        self.ring(name, sentence)

    def clear(self, name: str) -> None:
        """Take an alarm back; one that is not open is left alone."""
        with self._lock:
            if self._open.pop(name, None) is not None:
                log.info("alarm %s is over", name)
                ALARMS.labels(name).set(0)

    def all(self) -> dict[str, str]:
        """Return the open alarms with their sentences."""
        with self._lock:
            return dict(self._open)
