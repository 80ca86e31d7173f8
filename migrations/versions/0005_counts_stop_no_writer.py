"""The counts of orders stop no writer, and lend nobody their owner's rights.

Rows of `order_count_deltas` have no key: without an identity PostgreSQL refuses to delete them (55000) as soon as a
publication has all tables, as a change data capture makes one. An order of a table that was taken over may have no
customer or no time: its delta has none either, and is counted under what it has. And the functions of 0004 resolve
operators in a search path of their own: one that the caller made would have run with the rights of their owner.
"""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

NULLABLE = ("cust_id", "created_at")
FUNCTIONS = ("note_order_counts()", "recount_orders()")
# Who waits for this lock makes all others wait, and a reader such as pg_dump keeps it away for long: so in short tries.
LOCK_DELTAS = """
DO $$
BEGIN
    LOOP
        BEGIN
            SET LOCAL lock_timeout = '200ms';
            LOCK TABLE order_count_deltas IN ACCESS EXCLUSIVE MODE;
            EXIT;
        EXCEPTION WHEN lock_not_available THEN
            PERFORM pg_sleep(1);
        END;
    END LOOP;
    RESET lock_timeout;
END $$
"""


def upgrade() -> None:
    """Change the catalogue alone; who writes orders meanwhile waits for a moment."""
    op.execute(LOCK_DELTAS)
    op.execute(f"ALTER TABLE order_count_deltas REPLICA IDENTITY FULL, {_each_nullable('DROP')}")
    for function in FUNCTIONS:
        op.execute(f"ALTER FUNCTION {function} SET search_path = pg_catalog, pg_temp")


def downgrade() -> None:
    """Count anew, as the deltas may have NULLs; orders are locked against writes meanwhile."""
    op.execute("LOCK TABLE orders IN SHARE ROW EXCLUSIVE MODE")  # first, as whoever writes them does
    op.execute("LOCK TABLE order_count_deltas IN ACCESS EXCLUSIVE MODE")
    op.execute("SELECT recount_orders()")
    for function in FUNCTIONS:
        op.execute(f"ALTER FUNCTION {function} RESET search_path")
    op.execute(f"ALTER TABLE order_count_deltas REPLICA IDENTITY DEFAULT, {_each_nullable('SET')}")


def _each_nullable(verb: str) -> str:
    return ", ".join(f"ALTER COLUMN {column} {verb} NOT NULL" for column in NULLABLE)
