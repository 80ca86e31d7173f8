"""What each process did, minute by minute, for people who look at the last hour."""

from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table of figures."""
    op.execute(
        """
        CREATE TABLE flow_minutes (
            minute timestamptz NOT NULL,
            holder varchar(255) NOT NULL,
            figures text NOT NULL,
            CONSTRAINT flow_minutes_pkey PRIMARY KEY (minute, holder)
        )
        """
    )
    op.create_table_comment("flow_minutes", "What each process did in a minute, in JSON; kept for a day")


def downgrade() -> None:
    """Forget the figures."""
    op.execute("DROP TABLE flow_minutes")
