"""The trace of a change goes with its event, from the outbox into the header `traceparent` of the record.

The column is nullable and has no default: nothing is rewritten. The version before names the columns that it writes and
reads, and works on beside us: what it writes or sets aside has no trace. Whoever waits for the lock on the outbox makes
all writers wait, so it waits for moments only.
"""

from alembic import op

from app.database.table_locks import take_lock

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None

TABLES = ("taken_out_events", "outbox")


def upgrade() -> None:
    """Add the column to what waits for Kafka, and to what an operator has taken out of it."""
    for table in TABLES:
        take_lock(op.get_bind(), f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
        op.execute(f"ALTER TABLE {table} ADD COLUMN traceparent varchar(55)")


def downgrade() -> None:
    """Forget the traces of events that wait."""
    for table in TABLES:
        take_lock(op.get_bind(), f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
        op.execute(f"ALTER TABLE {table} DROP COLUMN traceparent")
