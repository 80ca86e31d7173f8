"""A refused accept that a clear has used up is marked with that call before it is deleted.

A call whose commit was done but whose answer was lost finds its mark. Columns without a default: nothing is rewritten,
and the version before, which deletes at once, works on beside us.
"""

import time

from alembic import op
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

# What this migration and the next ones (to 0016) change, for one transaction may hold all of them.
ALL, WRITERS = "ACCESS EXCLUSIVE", "SHARE ROW EXCLUSIVE"
TABLES = {
    "refused_accepts": ALL,
    "dead_letters": ALL,
    "consumer_offsets": ALL,
    "outbox": ALL,
    "order_count_deltas": ALL,
    "order_counts": WRITERS,
}
TRIES = 5
FIRST_MS = 1200  # while nothing is held; over deadlock_timeout, so that an autovacuum gives way
NEXT_MS = 200
PAUSE_SECONDS = 1.0
NOT_NOW = ("55P03", "40P01")


def lock_all() -> None:
    """Take every lock that is needed, or none: who waits holding some keeps the running version from its work.

    Whoever waits for a lock makes all others wait, so it waits for moments only. Raises DBAPIError after the last try.
    """
    connection, wanted = op.get_bind(), list(TABLES)
    for tried in range(1, TRIES + 1):
        table = wanted[0]
        try:
            with connection.begin_nested():
                for table in wanted:
                    wait_ms = FIRST_MS if table == wanted[0] else NEXT_MS
                    connection.execute(text(f"SET LOCAL lock_timeout = {wait_ms}"))
                    connection.execute(text(f"LOCK TABLE {table} IN {TABLES[table]} MODE"))
                connection.execute(text(f"SET LOCAL lock_timeout = {FIRST_MS}"))
            return
        except DBAPIError as error:
            if tried == TRIES or getattr(error.orig, "pgcode", None) not in NOT_NOW:
                raise
        wanted.sort(key=table.__ne__)  # the table that somebody holds comes first
        time.sleep(PAUSE_SECONDS)


def upgrade() -> None:
    """Change the catalogue alone."""
    lock_all()
    op.execute("ALTER TABLE refused_accepts ADD COLUMN used_by uuid, ADD COLUMN used_at timestamptz")


def downgrade() -> None:
    """Delete what is used up, as the version before does at once."""
    op.execute("DELETE FROM refused_accepts WHERE used_by IS NOT NULL")
    op.execute("ALTER TABLE refused_accepts DROP COLUMN used_by, DROP COLUMN used_at")
