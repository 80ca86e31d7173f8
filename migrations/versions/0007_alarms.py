"""Alarms belong to the service: what one process rings, every process shows, and a restart does not forget it."""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table of alarms."""
    op.execute(
        """
        CREATE TABLE alarms (
            name varchar(255) NOT NULL,
            holder varchar(255) NOT NULL,
            sentence text NOT NULL,
            evidence text NOT NULL,
            since timestamptz NOT NULL,
            last_at timestamptz NOT NULL,
            count bigint NOT NULL,
            ended_at timestamptz,
            ending varchar(20),
            CONSTRAINT alarms_pkey PRIMARY KEY (name, holder),
            CONSTRAINT ck_alarms_ended CHECK ((ended_at IS NULL) = (ending IS NULL))
        )
        """
    )
    op.create_table_comment(
        "alarms",
        "What a person should look at: conditions, each renewed by the process that holds it, and happenings "
        "(without a holder), which a person acknowledges",
    )


def downgrade() -> None:
    """Forget the alarms."""
    op.execute("DROP TABLE alarms")
