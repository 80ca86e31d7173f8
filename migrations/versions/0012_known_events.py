"""What a read-back found in a topic is remembered on the disk: however much it is, none of it is sent again."""

from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table of event ids that are in the log."""
    op.execute(
        """
        CREATE TABLE known_events (
            event_id uuid NOT NULL,
            noted_at timestamptz NOT NULL DEFAULT now(),
            CONSTRAINT known_events_pkey PRIMARY KEY (event_id)
        )
        """
    )
    op.execute("CREATE INDEX ix_known_events_noted_at ON known_events (noted_at)")
    op.create_table_comment(
        "known_events", "Event ids that a read-back found in a topic: a row with one of them is not sent again"
    )


def downgrade() -> None:
    """Forget them."""
    op.execute("DROP TABLE known_events")
