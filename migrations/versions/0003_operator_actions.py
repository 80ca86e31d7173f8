"""What an operator does by hand: the audit lines, and what became of a dead letter."""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table of audit lines and extend the dead letters; locks these for a moment."""
    op.execute(
        """
        CREATE TABLE operator_actions (
            id bigint GENERATED ALWAYS AS IDENTITY (CACHE 1),
            at timestamptz NOT NULL DEFAULT now(),
            who varchar(255) NOT NULL,
            action varchar(40) NOT NULL,
            subject text NOT NULL,
            detail text NOT NULL,
            bytes bytea,
            CONSTRAINT operator_actions_pkey PRIMARY KEY (id)
        )
        """
    )
    op.create_table_comment(
        "operator_actions", "Audit: one line for each change that an operator made by the command line"
    )
    op.execute(
        """
        ALTER TABLE dead_letters
            ADD COLUMN resolution varchar(10),
            ADD COLUMN resolved_at timestamptz,
            ADD CONSTRAINT ck_dead_letters_resolution CHECK (resolution IN ('replayed', 'discarded')),
            ADD CONSTRAINT ck_dead_letters_resolved CHECK ((resolution IS NULL) = (resolved_at IS NULL))
        """
    )


def downgrade() -> None:
    """Back to dead letters without a resolution; the audit lines are lost."""
    op.execute(
        "ALTER TABLE dead_letters DROP CONSTRAINT ck_dead_letters_resolved, "
        "DROP CONSTRAINT ck_dead_letters_resolution, DROP COLUMN resolution, DROP COLUMN resolved_at"
    )
    op.execute("DROP TABLE operator_actions")
