"""A dump of data alone counts once when it is restored.

Its orders are counted by their triggers as they come back, and its counts would come on top: so rows that a restore
brings into the tables of the counts are left out. Restores are known by what pg_dump begins its scripts with, an empty
search path, and by COPY. With --disable-triggers neither happens, and the restored counts are right as they are.
"""

from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

TABLES = ("order_counts", "order_count_deltas", "order_count_floors")
FUNCTION = """
CREATE FUNCTION leave_out_restored_counts() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$
"""
# What the orders' triggers write is at a depth.
TRIGGER = """
CREATE TRIGGER counts_restored BEFORE INSERT ON {table} FOR EACH ROW
WHEN (pg_trigger_depth() = 0 AND (current_setting('search_path') = '' OR current_query() ~* '^\\s*copy\\M'))
EXECUTE FUNCTION leave_out_restored_counts()
"""


def upgrade() -> None:
    """Change the catalogue alone; 0008 took the locks."""
    op.execute(FUNCTION)
    for table in TABLES:
        op.execute(TRIGGER.format(table=table))


def downgrade() -> None:
    """Back to counts that are restored on top."""
    for table in TABLES:
        op.execute(f"DROP TRIGGER counts_restored ON {table}")
    op.execute("DROP FUNCTION leave_out_restored_counts()")
