"""The statements of the Kafka cluster that stored offsets and positions are of."""

from app.database.statement import Statement

FIND_CLUSTER = Statement(
    "find_cluster",
    {},
    """
SELECT cluster_id, addresses, GREATEST(seen_at, (SELECT max(updated_at) FROM consumer_offsets))
FROM kafka_cluster ORDER BY seen_at DESC LIMIT 1""",
)
"""With the cluster, when it was last proved to be there: at the latest when its commands were handled."""

# Of two instances that meet a new cluster at once, or two new clusters, one row is left.
KEEP_CLUSTER = Statement(
    "keep_cluster",
    {"known": "text", "cluster_id": "text", "addresses": "text"},
    """
WITH gone AS (DELETE FROM kafka_cluster WHERE cluster_id = $known AND cluster_id <> $cluster_id)
INSERT INTO kafka_cluster (cluster_id, addresses) VALUES ($cluster_id, $addresses)
ON CONFLICT (cluster_id) DO UPDATE SET addresses = excluded.addresses, seen_at = excluded.seen_at""",
)
