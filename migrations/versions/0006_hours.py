"""Orders are counted by hour too: between a day and its minutes, so that a deep page reads 60 of these, not 1,440.

The kinds that an order counts under are a function of the database: an older version beside us folds hours too.
"""

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_KINDS = """
CREATE OR REPLACE FUNCTION
    kinds_of_order(order_status varchar, cust_id varchar, runner_id varchar, created_at timestamp)
RETURNS TABLE (kind varchar, value varchar) LANGUAGE sql STABLE ROWS {rows} AS $$
    SELECT * FROM (VALUES
        ('status', order_status), ('customer', cust_id), ('runner', runner_id),
        ('day', to_char(created_at, 'YYYY-MM-DD')), {hour}('minute', to_char(created_at, 'YYYY-MM-DD HH24:MI'))
    ) AS kinds (kind, value) WHERE value IS NOT NULL
$$
"""
_HOUR = "('hour', to_char(created_at, 'YYYY-MM-DD HH24')), "
_COMMENT = (
    "How many orders have a status, customer, runner, or were made {when} (UTC), but for what is in order_count_deltas"
)
# Whoever folds or counts anew waits; orders are read and written meanwhile.
_LOCK = "LOCK TABLE order_counts IN SHARE ROW EXCLUSIVE MODE"


def upgrade() -> None:
    """Add the hours up from the minutes."""
    op.execute(_LOCK)
    op.execute(_KINDS.format(rows=6, hour=_HOUR))
    op.execute(
        "INSERT INTO order_counts (kind, value, orders) "
        "SELECT 'hour', left(value, 13), sum(orders) FROM order_counts WHERE kind = 'minute' GROUP BY left(value, 13)"
    )
    op.create_table_comment("order_counts", _COMMENT.format(when="on a day, in an hour or in a minute"))


def downgrade() -> None:
    """Forget the hours."""
    op.execute(_LOCK)
    op.execute(_KINDS.format(rows=5, hour=""))
    op.execute("DELETE FROM order_counts WHERE kind = 'hour'")
    op.create_table_comment("order_counts", _COMMENT.format(when="on a day or in a minute"))
