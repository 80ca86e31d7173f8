"""The thread that handles commands."""

import logging
import threading
import time
from collections.abc import Callable

from app.config.config import Settings
from app.database.batches import BatchStore
from app.database.database import Database
from app.database.pool import Pool
from app.kafka.command_topic import open_commands
from app.kafka.command_trouble import Breaker
from app.kafka.consumer import CommandConsumer
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


class ConsumerThread:
    """Consumes commands. `wake` is called after each batch: it may have left replies and dead letters to send."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        pool: Pool,
        cluster: KnownCluster,
        alarms: Alarms,
        traffic: Traffic,
        wake: Callable[[], None],
    ) -> None:
        self._settings = settings
        self._database = database
        self._cluster = cluster
        self._alarms = alarms
        self._traffic = traffic
        self._wake = wake
        self._store = BatchStore(pool, settings.command_identity_days)
        self._breaker = Breaker()
        self._repeats = Repeats()

    def run(self, stop: threading.Event, beat: Beat) -> None:
        """Consume until `stop`. Any trouble of Kafka raises: the next run begins with a new client."""
        self._cluster.run_or_ring(self._consume, stop, beat)

    def _consume(self, stop: threading.Event, beat: Beat) -> None:
        days = self._settings.command_identity_days
        with open_commands(self._settings, self._cluster.require) as commands:
            consumer = CommandConsumer(
                commands, self._store, CommandService(self._store), self._alarms, self._breaker, days
            )
            next_recheck = Deadline(RECHECK_SECONDS)
            while not stop.is_set():
                beat()
                began, calls = time.monotonic(), self._traffic.calls
                try:
                    if consumer.step():
                        self._wake()
                        stop.wait(self._traffic.pause_after(time.monotonic() - began, calls))
                    if next_recheck.passed:
                        try:
                            consumer.recheck_offsets()
                        finally:  # counted from its end: however long it takes, commands are handled in between
                            next_recheck = Deadline(RECHECK_SECONDS)
                except DatabaseTrouble as trouble:
                    # Nothing was moved. The member stays in the group, and the records come again.
                    self._repeats.say(log, logging.WARNING, f"commands wait: {trouble.reason}")
                    stop.wait(PAUSE_SECONDS)
                    self._database.wait(stop, PAUSE_SECONDS)
