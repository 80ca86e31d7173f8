"""A command that was given up is kept with its bytes; a dead letter says what was cut, and why its topic refuses it."""

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table and extend the dead letters; locks these for a moment."""
    op.execute(
        """
        CREATE TABLE given_up_commands (
            id bigint GENERATED ALWAYS AS IDENTITY (CACHE 1),
            event_id uuid NOT NULL,
            topic text NOT NULL,
            partition integer NOT NULL,
            "offset" bigint NOT NULL,
            key bytea,
            value bytea,
            type varchar(40) NOT NULL,
            correlation_id varchar(255) NOT NULL,
            error text NOT NULL,
            created_at timestamptz NOT NULL DEFAULT now(),
            CONSTRAINT given_up_commands_pkey PRIMARY KEY (id),
            CONSTRAINT uq_given_up_commands_event_id UNIQUE (event_id)
        )
        """
    )
    op.create_table_comment(
        "given_up_commands",
        "Every command that could not be handled and was answered with internal_error, with its bytes",
    )
    op.execute("ALTER TABLE dead_letters ADD COLUMN length bigint, ADD COLUMN sha256 bytea, ADD COLUMN refusal text")


def downgrade() -> None:
    """Back to commands that are given up without a trace; those are lost."""
    op.execute("ALTER TABLE dead_letters DROP COLUMN refusal, DROP COLUMN sha256, DROP COLUMN length")
    op.execute("DROP TABLE given_up_commands")
