"""Which Kafka cluster the stored offsets and positions are of, so that addresses of another one overwrite nothing.

The cluster's id decides. Where another cluster answers at an address that was known before, the old one was made anew:
the service goes on there, and says so. At addresses that were not known it is a mistake until an operator says no.
"""

import logging
from collections.abc import Sequence

from app.config.config import Settings
from app.models import statements as sql
from app.models.database import Pool
from app.services.alarms import Alarms
from app.utils.deadline import Deadline

log = logging.getLogger(__name__)

ALARM = "another_cluster"
CALL_SECONDS = 5.0


class AnotherCluster(Exception):
    """The addresses are another cluster's; the sentence says what to do."""


class KnownCluster:
    """The row of the cluster. Methods block for CALL_SECONDS at the longest and raise DatabaseTrouble."""

    def __init__(self, settings: Settings, pool: Pool, alarms: Alarms) -> None:
        self._addresses = settings.bootstrap_servers
        self._pool = pool
        self._alarms = alarms

    def require(self, cluster_id: str | None) -> None:
        """Return where this is the cluster of the stored offsets, or the first one. Raises AnotherCluster."""
        if not cluster_id:
            return  # brokers before 0.10.1 have none
        rows = self._pool.run(sql.FIND_CLUSTER, (), Deadline(CALL_SECONDS))
        if not rows:
            self._keep(None, cluster_id)
        elif rows[0][0] != cluster_id:
            known, addresses = rows[0]
            if not is_made_anew(addresses, self._addresses):
                raise AnotherCluster(other_cluster(known, addresses, cluster_id, self._addresses))
            self._keep(known, cluster_id)
            self._alarms.happened(
                f"cluster_made_anew_{cluster_id[:8]}",
                f"Kafka at {','.join(self._addresses)} is another cluster than before ({cluster_id}, not {known}): "
                "what was in the old one is gone; the service goes on with this one",
            )
        elif set(rows[0][1].split(",")) != set(self._addresses):
            self._keep(cluster_id, cluster_id)
        self._alarms.clear(ALARM)

    def _keep(self, known: str | None, cluster_id: str) -> None:
        row = (known, cluster_id, ",".join(self._addresses))
        self._pool.run(sql.KEEP_CLUSTER, row, Deadline(CALL_SECONDS))


def is_made_anew(known: str, addresses: Sequence[str]) -> bool:
    """Tell whether another cluster at these addresses is the known one made anew: one address is the same."""
    return bool(set(known.split(",")) & set(addresses))


def other_cluster(known: str, addresses: str, found: str, at: Sequence[str]) -> str:
    """Return the sentence that refuses another cluster."""
    return (
        f"KAFKA_BOOTSTRAP_SERVERS ({','.join(at)}) is another cluster ({found}) than the stored offsets are of "
        f"({known} at {addresses}): nothing is consumed or sent. Mend the addresses, or, if this is the right one from "
        "now on, run `flask orders offsets accept-cluster`"
    )
