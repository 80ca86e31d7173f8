"""Who may call, and who made a change: the table of API keys, and the caller in the history.

The column has no default: nothing is rewritten, and the version before, which names the columns that it writes, works
on beside us. Whoever waits for the lock on the history makes all writers wait, so it waits for moments only.
"""

from alembic import op

from app.database.table_locks import take_lock

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

COMMENT = (
    "API keys: the SHA-256 of each, whose it is, and what it may; the key itself is with its owner alone. `last_used` "
    "is the hour"
)


def upgrade() -> None:
    """Add a table and a column."""
    op.execute(
        """
        CREATE TABLE api_keys (
            id varchar(12) NOT NULL,
            name varchar(255) NOT NULL,
            hash bytea NOT NULL,
            scopes varchar(255) NOT NULL,
            created_at timestamptz DEFAULT now() NOT NULL,
            created_by varchar(255) NOT NULL,
            expires_at timestamptz,
            revoked_at timestamptz,
            last_used timestamptz,
            CONSTRAINT api_keys_pkey PRIMARY KEY (id),
            CONSTRAINT ck_api_keys_hash CHECK (octet_length(hash) = 32)
        )
        """
    )
    op.create_table_comment("api_keys", COMMENT)
    take_lock(op.get_bind(), "LOCK TABLE order_changes IN ACCESS EXCLUSIVE MODE")
    op.execute("ALTER TABLE order_changes ADD COLUMN caller varchar(255)")


def downgrade() -> None:
    """Forget who called."""
    take_lock(op.get_bind(), "LOCK TABLE order_changes IN ACCESS EXCLUSIVE MODE")
    op.execute("ALTER TABLE order_changes DROP COLUMN caller")
    op.execute("DROP TABLE api_keys")
