"""What the stored offsets stand behind: a log that was replaced is told from the one that was handled."""

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

_CHECKPOINTS = (
    "Some of the commands handled so far, ever fewer into the past: where a log that was replaced parts from the one "
    "that was handled"
)


def upgrade() -> None:
    """Add the last record and the take-over to each offset, the trail, and the cluster; locks the offsets a moment."""
    op.execute(
        "ALTER TABLE consumer_offsets ADD COLUMN last_offset bigint, ADD COLUMN last_timestamp bigint, "
        "ADD COLUMN last_hash bytea, ADD COLUMN last_epoch integer, ADD COLUMN floor_offset bigint, "
        "ADD COLUMN floor_at timestamptz"
    )
    op.execute(
        """
        CREATE TABLE consumer_checkpoints (
            topic text NOT NULL,
            partition integer NOT NULL,
            "offset" bigint NOT NULL,
            "timestamp" bigint NOT NULL,
            hash bytea NOT NULL,
            epoch integer,
            kept_at timestamptz NOT NULL DEFAULT now(),
            CONSTRAINT consumer_checkpoints_pkey PRIMARY KEY (topic, partition, "offset")
        )
        """
    )
    op.create_table_comment("consumer_checkpoints", _CHECKPOINTS)
    op.execute(
        """
        CREATE TABLE kafka_cluster (
            cluster_id text NOT NULL,
            addresses text NOT NULL,
            seen_at timestamptz NOT NULL DEFAULT now(),
            CONSTRAINT kafka_cluster_pkey PRIMARY KEY (cluster_id)
        )
        """
    )
    op.create_table_comment("kafka_cluster", "The Kafka cluster that offsets and positions are of; one row")


def downgrade() -> None:
    """Back to numbers alone."""
    op.execute("DROP TABLE kafka_cluster")
    op.execute("DROP TABLE consumer_checkpoints")
    op.execute(
        "ALTER TABLE consumer_offsets DROP COLUMN last_offset, DROP COLUMN last_timestamp, DROP COLUMN last_hash, "
        "DROP COLUMN last_epoch, DROP COLUMN floor_offset, DROP COLUMN floor_at"
    )
