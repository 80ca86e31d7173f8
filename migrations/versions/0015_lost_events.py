"""Events that Kafka acknowledged and lost, as an operator has found them: to be announced again."""

from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

COMMENT = "Changes whose event Kafka acknowledged and lost, as `find-lost` found them, until it is announced again"


def upgrade() -> None:
    """Add a table."""
    op.execute(
        """
        CREATE TABLE lost_events (
            change_id uuid NOT NULL,
            order_id varchar(255) NOT NULL,
            version integer NOT NULL,
            found_at timestamptz DEFAULT now() NOT NULL,
            announced_at timestamptz,
            CONSTRAINT lost_events_pkey PRIMARY KEY (change_id)
        )
        """
    )
    op.create_table_comment("lost_events", COMMENT)


def downgrade() -> None:
    """Forget what was found."""
    op.execute("DROP TABLE lost_events")
