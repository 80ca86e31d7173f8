"""Which Kafka cluster the stored offsets and positions are of, so that another cluster's address overwrites nothing.

The cluster's id decides. Another cluster at a known address, whose commands all came after the old cluster was last
seen, is the old one made anew: the service goes on there, and says so. An address alone proves nothing: a list may mix
two clusters, and a name may lead elsewhere. Any other cluster is a mistake until an operator accepts it.
"""

import threading
from collections.abc import Sequence
from dataclasses import dataclass

from app.config.config import Settings
from app.database import cluster_sql as sql
from app.database.pool import Pool
from app.kafka.topics import holds_only_younger
from app.utils.alarms import Alarms
from app.utils.deadline import Deadline
from app.utils.supervisor import Beat, Work

ALARM = "another_cluster"
CALL_SECONDS = 5.0
ANOTHER_CLUSTER_SECONDS = 5.0  # between two attempts


class AnotherCluster(Exception):
    """The addresses are another cluster's; the sentence says what to do."""


@dataclass(frozen=True)
class KnownCluster:
    """The row of the cluster. Methods block for some seconds at the longest and raise DatabaseTrouble, KafkaError."""

    settings: Settings
    pool: Pool
    alarms: Alarms

    def require(self, cluster_id: str | None) -> None:
        """Return where this is the cluster of the stored offsets, or the first one. Raises AnotherCluster."""
        if not cluster_id:
            return  # brokers before 0.10.1 have none
        ours = self.settings.bootstrap_servers
        rows = self.pool.run(sql.FIND_CLUSTER, (), Deadline(CALL_SECONDS))
        known, addresses, seen_at = rows[0] if rows else (None, "", None)
        if known is None:
            self._store(None, cluster_id)
        elif known != cluster_id:
            topic = self.settings.commands_topic
            if not (share_an_address(addresses, ours) and holds_only_younger(self.settings, topic, seen_at)):
                raise AnotherCluster(other_cluster(known, addresses, cluster_id, ours))
            self._store(known, cluster_id)
            self.alarms.happened(
                f"cluster_made_anew_{cluster_id[:8]}",
                f"Kafka at {','.join(ours)} is another cluster than before ({cluster_id}, not {known}): "
                "what was in the old one is gone; the service goes on with this one",
            )
        elif set(addresses.split(",")) != set(ours):
            self._store(cluster_id, cluster_id)
        self.alarms.clear(ALARM)

    def run_or_ring(self, work: Work, stop: threading.Event, beat: Beat) -> None:
        """Do the work. Where it finds that the cluster is another one, ring and wait for a while instead."""
        try:
            work(stop, beat)
        except AnotherCluster as error:
            self.alarms.ring(ALARM, str(error))
            beat()
            stop.wait(ANOTHER_CLUSTER_SECONDS)

    def _store(self, known: str | None, cluster_id: str) -> None:
        row = (known, cluster_id, ",".join(self.settings.bootstrap_servers))
        self.pool.run(sql.KEEP_CLUSTER, row, Deadline(CALL_SECONDS))


def share_an_address(known: str, addresses: Sequence[str]) -> bool:
    """Tell whether one address is the same: else another cluster cannot be the known one made anew."""
    return bool(set(known.split(",")) & set(addresses))


def other_cluster(known: str, addresses: str, found: str, at: Sequence[str]) -> str:
    """Return the sentence that refuses another cluster."""
    return (
        f"KAFKA_BOOTSTRAP_SERVERS ({','.join(at)}) is another cluster ({found}) than the stored offsets are of "
        f"({known} at {addresses}): nothing is consumed or sent. Mend the addresses, or, if this is the right one from "
        "now on, run `flask orders offsets accept-cluster`"
    )
