"""The thread of a relay: it also waits for a database that takes changes, and for the right cluster."""

import threading

from app.kafka.relay import Relay
from app.models.errors import DatabaseReadOnly
from app.services.known_cluster import KnownCluster
from app.utils.alarms import Alarms
from app.utils.supervisor import Beat

ALARM = "database_read_only"
PAUSE_SECONDS = 1.0


class RelayThread:
    """Runs one relay."""

    def __init__(self, relay: Relay, cluster: KnownCluster, alarms: Alarms) -> None:
        self._relay = relay
        self._cluster = cluster
        self._alarms = alarms

    def run(self, stop: threading.Event, beat: Beat) -> None:
        """Relay until `stop`; any other trouble raises."""

        def beat_while_writable() -> None:
            beat()
            self._alarms.clear(ALARM)

        try:
            self._cluster.run_or_ring(self._relay.run, stop, beat_while_writable)
        except DatabaseReadOnly:
            self._alarms.ring(ALARM, "The database is read-only: changes and commands wait, no event leaves")
            stop.wait(PAUSE_SECONDS)
