"""What the watch sees, for every process to show: how many commands and events wait, and since when."""

from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table with its one row to come."""
    op.execute(
        """
        CREATE TABLE watch (
            id smallint NOT NULL,
            holder varchar(255) NOT NULL,
            held_until timestamptz NOT NULL,
            seen_at timestamptz,
            seen text,
            CONSTRAINT watch_pkey PRIMARY KEY (id),
            CONSTRAINT ck_watch_one CHECK (id = 1)
        )
        """
    )
    op.create_table_comment("watch", "One row: which process watches, and what it saw last, for all to show")


def downgrade() -> None:
    """Forget what was seen."""
    op.execute("DROP TABLE watch")
