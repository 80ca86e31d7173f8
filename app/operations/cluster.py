"""Which Kafka cluster the stored offsets are of: no operation works with another one."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import delete, insert, text

from app.config.config import Settings
from app.database.cluster_sql import FIND_CLUSTER
from app.kafka import operator as kafka
from app.models.kafka_tables import kafka_cluster
from app.models.operator_errors import NotPossible
from app.operations.audit import Operator
from app.operations.transaction import transaction
from app.services.known_cluster import other_cluster, share_an_address


@dataclass(frozen=True, slots=True)
class ClusterChange:
    """`known`: the id of the cluster that the stored offsets are of, None if there is none, and its addresses;
    `found`: the id of the cluster at our addresses."""

    known: str | None
    known_addresses: str
    found: str
    addresses: str


def require_ours(settings: Settings, cluster_id: str | None) -> None:
    """Raise NotPossible if the stored offsets are of another cluster."""
    known = _known(settings)
    if known is None or known[0] == cluster_id:
        return
    known_id, addresses, seen_at = known
    if share_an_address(addresses, settings.bootstrap_servers) and kafka.is_made_anew(settings, seen_at):
        return
    raise NotPossible(other_cluster(known_id, addresses, cluster_id or "", settings.bootstrap_servers) + ".")


def compare(settings: Settings) -> ClusterChange:
    """Return which cluster is known and which one is at our addresses."""
    found, addresses = kafka.cluster_id(settings), ",".join(settings.bootstrap_servers)
    known, known_addresses, _ = _known(settings) or (None, "", None)
    return ClusterChange(known, known_addresses, found, addresses)


def accept(operator: Operator, change: ClusterChange) -> None:
    """Make the cluster the one to work with from now on. Running instances follow within 5 s.

    Raises NotPossible if the known cluster is no longer the one that `compare` has returned.
    """
    row = {"cluster_id": change.found, "addresses": change.addresses}
    with operator.change("accept-cluster") as made:
        gone = made.connection.scalars(delete(kafka_cluster).returning(kafka_cluster.c.cluster_id)).all()
        if change.known not in (gone or [None]):
            raise NotPossible("The known cluster changed meanwhile: look again.")
        made.connection.execute(insert(kafka_cluster).values(row))
        made.record(f"cluster {change.found}", f"{change.known} → {change.found}, {change.addresses}")


def _known(settings: Settings) -> tuple[str, str, datetime] | None:
    with transaction(settings) as connection:
        row = connection.execute(text(FIND_CLUSTER.sql)).first()
    return None if row is None else (row[0], row[1], row[2])
