"""The pulse: does any broker answer this process? Asked every half second, by a client of its own.

It is a thread beside the watch, whose questions are larger and wait for seconds each: that no broker answers is shown
within SHOWN_SECONDS, whatever the watch waits for.
"""

import threading
import time
from contextlib import closing
from typing import Any

from kafka.errors import KafkaError

from app.config.config import Settings
from app.kafka.broker_view import KafkaView
from app.kafka.broker_watch import away
from app.kafka.client_errors import KafkaReasons, explained
from app.kafka.security import ClientRefused, SecretsInUse
from app.utils.alarms import Alarms
from app.utils.limits import PULSE_ASK_MS, PULSE_SECONDS
from app.utils.logging import kafka_is_away
from app.utils.supervisor import Beat
from app.utils.text import listed

ALARM = "broker_away"


class Pulse:
    """The work of one thread; others read what it found."""

    def __init__(self, settings: Settings, secrets: SecretsInUse, alarms: Alarms) -> None:
        self._settings = settings
        self._secrets = secrets
        self._alarms = alarms
        self._view = KafkaView(settings, PULSE_ASK_MS)
        self._reasons = KafkaReasons()
        self._generation = secrets.generation
        self._answers_since: float | None = None
        self.part: dict[str, Any] = {"ok": False, "reason": "not asked yet"}
        """Whether a broker answers this process, as `/readyz` shows it."""
        self.has_met_broker = False
        """Whether a broker has answered this process since its start."""

    def run(self, stop: threading.Event, beat: Beat) -> None:
        """Ask until `stop`."""
        with self._reasons.listening(), closing(self._view):
            try:
                while not stop.is_set():
                    beat()
                    self.look()
                    stop.wait(PULSE_SECONDS)
            finally:
                kafka_is_away.clear()
                self._alarms.clear(ALARM)

    def look(self) -> None:
        """Ask once, and ring or end the alarm. Blocks for SILENT_MS and PULSE_ASK_MS if no broker answers."""
        if self._generation != self._secrets.generation:
            self._generation = self._secrets.generation
            self._view.close()
        try:
            self._view.require_life()
        except KafkaError as error:
            self._note_away(error)
            return
        if self._answers_since is None:
            self._answers_since = time.monotonic()
        self.part = {"ok": True, "reason": None}
        self.has_met_broker = True
        kafka_is_away.clear()
        self._alarms.clear(ALARM)

    def answers(self) -> bool:
        """Tell whether a broker answers."""
        return self._answers_since is not None

    def seconds(self) -> float:
        """Return for how many seconds a broker has answered without a break, 0 if none does."""
        since = self._answers_since
        return 0.0 if since is None else time.monotonic() - since

    def _note_away(self, error: KafkaError) -> None:
        why = str(error)
        if not isinstance(error, ClientRefused):
            why = explained(listed([*self._reasons.latest(), f"{type(error).__name__}: {error}"[:200]]))
        self._answers_since = None
        self.part = {"ok": False, "reason": why}
        kafka_is_away.set()
        self._alarms.ring(ALARM, away(self._settings, why), why)
