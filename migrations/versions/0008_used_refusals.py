"""A refused accept that a clear has used up is marked with that call before it is deleted.

A call whose commit was done but whose answer was lost finds its mark. Columns without a default: nothing is rewritten,
and the version before, which deletes at once, works on beside us.
"""

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


# Who waits for this lock makes all others wait, and a reader such as pg_dump keeps it away for long: so in short tries.
LOCK = """
DO $$
BEGIN
    LOOP
        BEGIN
            SET LOCAL lock_timeout = '200ms';
            LOCK TABLE refused_accepts IN ACCESS EXCLUSIVE MODE;
            EXIT;
        EXCEPTION WHEN lock_not_available THEN
            PERFORM pg_sleep(1);
        END;
    END LOOP;
    RESET lock_timeout;
END $$
"""


def upgrade() -> None:
    """Change the catalogue alone."""
    op.execute(LOCK)
    op.execute("ALTER TABLE refused_accepts ADD COLUMN used_by uuid, ADD COLUMN used_at timestamptz")


def downgrade() -> None:
    """Delete what is used up, as the version before does at once."""
    op.execute("DELETE FROM refused_accepts WHERE used_by IS NOT NULL")
    op.execute("ALTER TABLE refused_accepts DROP COLUMN used_by, DROP COLUMN used_at")
