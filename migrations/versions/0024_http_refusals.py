"""Requests that were refused: how often which answer was given, for whoever asks about an order or a key.

A new table alone: nothing is locked, and the version before knows nothing of it.
"""

from alembic import op

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None

REFUSALS = (
    "Requests of one second and one process that were refused alike: by path, code, order and Idempotency-Key; "
    "kept for HTTP_REFUSAL_HOURS"
)


def upgrade() -> None:
    """Create the table, with an index for each id that people ask by."""
    op.execute(
        """
        CREATE TABLE http_refusals (
            id bigint GENERATED ALWAYS AS IDENTITY (CACHE 1),
            path text NOT NULL,
            code varchar(40) NOT NULL,
            order_id varchar(255),
            key varchar(255),
            correlation_id varchar(255) NOT NULL,
            times integer NOT NULL,
            created_at timestamptz DEFAULT now() NOT NULL,
            CONSTRAINT http_refusals_pkey PRIMARY KEY (id)
        )
        """
    )
    op.create_table_comment("http_refusals", REFUSALS)
    op.execute("CREATE INDEX ix_http_refusals_order_id ON http_refusals (order_id, id) WHERE order_id IS NOT NULL")
    op.execute("CREATE INDEX ix_http_refusals_key ON http_refusals (key, id) WHERE key IS NOT NULL")
    op.execute("CREATE INDEX ix_http_refusals_correlation_id ON http_refusals (correlation_id, id)")


def downgrade() -> None:
    """Forget what was refused."""
    op.execute("DROP TABLE http_refusals")
