"""What the console shows and needs: which processes run, and the secret that signs its cookies.

Two new tables: nothing that exists is locked.
"""

from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

INSTANCES = (
    "Processes of the service: what each last said of itself. One that ends takes its row with it; one that says "
    "nothing any more was killed, or stands still"
)
SECRETS = "Secrets that sign the cookies of the console: whoever may read them could sign in as anybody"


def upgrade() -> None:
    """Add the tables. A process rewrites its row each second, so a page keeps room for the new version."""
    op.execute(
        """
        CREATE TABLE instances (
            name varchar(255) NOT NULL,
            host varchar(255) NOT NULL,
            pid integer NOT NULL,
            version varchar(40) NOT NULL,
            commit varchar(64) NOT NULL,
            roles varchar(10) NOT NULL,
            started_at timestamptz DEFAULT now() NOT NULL,
            seen_at timestamptz DEFAULT now() NOT NULL,
            parts text NOT NULL,
            CONSTRAINT instances_pkey PRIMARY KEY (name)
        ) WITH (fillfactor = 50)
        """
    )
    op.execute(
        """
        CREATE TABLE console_secrets (
            made_at timestamptz DEFAULT now() NOT NULL,
            secret bytea NOT NULL,
            CONSTRAINT console_secrets_pkey PRIMARY KEY (made_at),
            CONSTRAINT ck_console_secrets_secret CHECK (octet_length(secret) = 32)
        )
        """
    )
    op.create_table_comment("instances", INSTANCES)
    op.create_table_comment("console_secrets", SECRETS)


def downgrade() -> None:
    """Forget who runs; sign-ins end."""
    op.execute("DROP TABLE console_secrets")
    op.execute("DROP TABLE instances")
