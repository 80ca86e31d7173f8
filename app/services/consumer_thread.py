"""The thread that handles commands."""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from app.config.config import Settings
from app.database.batches import BatchStore
from app.database.database import Database
from app.database.pool import Pool
from app.kafka.command_topic import open_commands
from app.kafka.command_trouble import Breaker
from app.kafka.consumer import CommandConsumer
from app.kafka.security import SecretsInUse
from app.models.errors import DatabaseTrouble
from app.services.command_service import CommandService
from app.services.known_cluster import KnownCluster
from app.utils.alarms import Alarms
from app.utils.deadline import Deadline
from app.utils.logging import Repeats
from app.utils.supervisor import Beat
from app.utils.traffic import Traffic

log = logging.getLogger(__name__)

RECHECK_SECONDS = 5.0
PAUSE_SECONDS = 1.0


@dataclass
class ConsumerThread:
    """Consumes commands, with a new client when there are new secrets for Kafka, or when it is to rejoin.

    `handled` is called after each batch: it may have left replies and dead letters to send.
    """

    settings: Settings
    secrets: SecretsInUse
    broker_answers: Callable[[], bool]
    database: Database
    pool: Pool
    cluster: KnownCluster
    alarms: Alarms
    traffic: Traffic
    handled: Callable[[], None]

    def __post_init__(self) -> None:
        self._store = BatchStore(self.pool, self.settings.command_identity_days)
        self._breaker = Breaker()
        self._repeats = Repeats()
        self._rejoins = 0

    def rejoin(self) -> None:
        """Leave the group and join it anew; returns at once."""
        self._rejoins += 1

    def run(self, stop: threading.Event, beat: Beat) -> None:
        """Consume until `stop`. Any trouble of Kafka raises: the next run begins with a new client."""
        self.cluster.run_or_ring(self._consume, stop, beat)

    def _consume(self, stop: threading.Event, beat: Beat) -> None:
        begun = self._generation
        with open_commands(self.settings, self.cluster.require) as commands:
            service, days = CommandService(self._store), self.settings.command_identity_days
            consumer = CommandConsumer(commands, self._store, service, self.alarms, self._breaker, days)
            next_recheck, answered = Deadline(RECHECK_SECONDS), True
            while not stop.is_set() and self._generation == begun:
                beat()
                began, calls = time.monotonic(), self.traffic.calls
                try:
                    if consumer.step():
                        self.handled()
                        stop.wait(self.traffic.pause_after(time.monotonic() - began, calls))
                    answered, before = self.broker_answers(), answered
                    if next_recheck.passed or answered != before:
                        try:
                            consumer.recheck_offsets(broker_answers=answered)
                        finally:  # counted from its end: however long it takes, commands are handled in between
                            next_recheck = Deadline(RECHECK_SECONDS)
                except DatabaseTrouble as trouble:
                    # Nothing was moved. The member stays in the group, and the records come again.
                    self._repeats.say(log, logging.WARNING, f"commands wait: {trouble.reason}")
                    stop.wait(PAUSE_SECONDS)
                    self.database.wait(stop, PAUSE_SECONDS)

    @property
    def _generation(self) -> tuple[int, int]:
        return self.secrets.generation, self._rejoins
