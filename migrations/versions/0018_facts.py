"""What became of a command that changed nothing, or came again; and which trace a change belongs to.

No column has a default: nothing is rewritten, and the version before, which names the columns that it writes, works on
beside us. The two indexes are empty, but making them reads the identities once: a second per some million, in which
commands wait. Callers over HTTP write no identities. Whoever waits for the lock on the history makes all writers wait,
so it waits for moments only, and comes last.
"""

from alembic import op

from app.database.table_locks import take_lock

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

FACTS = {
    "type": "varchar(40)",
    "correlation_id": "varchar(255)",
    "order_id": "varchar(255)",
    "outcome": "varchar(40)",
    "partition": "integer",
    "offset": "bigint",
    "repeats": "integer",
    "repeated_at": "timestamptz",
    "repeated_partition": "integer",
    "repeated_offset": "bigint",
}
SOUGHT = ("order_id", "correlation_id")
COMMENT = "SHA-256 of the bytes of every command handled: the same bytes again are the same command"
COMMENT_NOW = (
    f"{COMMENT}. What was refused, changed nothing or came again has its facts here; the others have their line in "
    "order_changes"
)


def upgrade() -> None:
    """Add the columns, and the indexes by which facts are looked for."""
    take_lock(op.get_bind(), "LOCK TABLE command_identities IN ACCESS EXCLUSIVE MODE")
    added = ", ".join(f'ADD COLUMN "{column}" {kind}' for column, kind in FACTS.items())
    op.execute(f"ALTER TABLE command_identities {added}")
    for column in SOUGHT:
        op.execute(
            f"CREATE INDEX ix_command_identities_{column} ON command_identities ({column}) WHERE {column} IS NOT NULL"
        )
    op.create_table_comment("command_identities", COMMENT_NOW)
    take_lock(op.get_bind(), "LOCK TABLE order_changes IN ACCESS EXCLUSIVE MODE")
    op.execute("ALTER TABLE order_changes ADD COLUMN traceparent varchar(55)")


def downgrade() -> None:
    """Forget the facts."""
    take_lock(op.get_bind(), "LOCK TABLE command_identities IN ACCESS EXCLUSIVE MODE")
    dropped = ", ".join(f'DROP COLUMN "{column}"' for column in FACTS)
    op.execute(f"ALTER TABLE command_identities {dropped}")
    op.create_table_comment("command_identities", COMMENT)
    take_lock(op.get_bind(), "LOCK TABLE order_changes IN ACCESS EXCLUSIVE MODE")
    op.execute("ALTER TABLE order_changes DROP COLUMN traceparent")
