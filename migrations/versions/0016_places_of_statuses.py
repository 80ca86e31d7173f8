"""Orders are counted by day, hour and minute under each status too: a deep page under a status begins in its minute.

What was there before is counted here where that takes a moment; on a large table the worker does it beside its other
work, and deep pages under a status walk until then. The kinds that an order counts under are a function of the
database: an older version beside us folds these too.
"""

from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

A_MOMENT = 200_000  # orders; half a second
_KINDS = """
CREATE OR REPLACE FUNCTION
    kinds_of_order(order_status varchar, cust_id varchar, runner_id varchar, created_at timestamp)
RETURNS TABLE (kind varchar, value varchar) LANGUAGE sql STABLE ROWS {rows} AS $$
    SELECT * FROM (VALUES
        ('status', order_status), ('customer', cust_id), ('runner', runner_id),
        ('day', to_char(created_at, 'YYYY-MM-DD')), ('hour', to_char(created_at, 'YYYY-MM-DD HH24')),
        ('minute', to_char(created_at, 'YYYY-MM-DD HH24:MI')){of_status}
    ) AS kinds (kind, value) WHERE value IS NOT NULL
$$
"""
_OF_STATUS = """,
        ('sday', order_status || ' ' || to_char(created_at, 'YYYY-MM-DD')),
        ('shour', order_status || ' ' || to_char(created_at, 'YYYY-MM-DD HH24')),
        ('sminute', order_status || ' ' || to_char(created_at, 'YYYY-MM-DD HH24:MI'))"""
# Whoever folds or counts anew waits; orders are read and written meanwhile.
_LOCK = "LOCK TABLE order_counts IN SHARE ROW EXCLUSIVE MODE"
_MARKS = (
    "CREATE TABLE order_count_marks (mark varchar(20) NOT NULL, CONSTRAINT order_count_marks_pkey PRIMARY KEY (mark))"
)
_COMMENT = "`statuses`: the days, hours and minutes of each status are counted for orders of all times"
# As on the counts themselves (0014): a restore of data alone finds them counted.
_GUARD = """
CREATE TRIGGER counts_restored BEFORE INSERT ON order_count_marks FOR EACH ROW
WHEN (current_setting('search_path') = '' OR current_query() ~* '^\\s*copy\\M')
EXECUTE FUNCTION leave_out_restored_counts()
"""
_MARK = f"""
INSERT INTO order_count_marks (mark)
SELECT 'statuses' WHERE (SELECT count(*) FROM (SELECT FROM orders LIMIT {A_MOMENT + 1}) AS first_ones) <= {A_MOMENT}
"""
_COUNT = f"""
INSERT INTO order_counts (kind, value, orders)
WITH moment AS (SELECT count(*) <= {A_MOMENT} AS yes FROM (SELECT FROM orders LIMIT {A_MOMENT + 1}) AS first_ones),
minutes AS (
    SELECT order_status, to_char(minute, 'YYYY-MM-DD HH24:MI') AS minute, sum(orders) AS orders FROM (
        SELECT order_status, date_trunc('minute', created_at) AS minute, count(*) AS orders
        FROM orders WHERE (SELECT yes FROM moment) GROUP BY 1, 2
        UNION ALL
        SELECT order_status, date_trunc('minute', created_at), -sum(sign)
        FROM order_count_deltas WHERE (SELECT yes FROM moment) GROUP BY 1, 2
    ) AS counted WHERE isfinite(minute) AND order_status IS NOT NULL GROUP BY 1, 2 HAVING sum(orders) <> 0
)
SELECT kind, order_status || ' ' || left(minute, length(minute) - less), sum(orders)
FROM minutes, (VALUES ('sday', 6), ('shour', 3), ('sminute', 0)) AS kinds (kind, less) GROUP BY 1, 2
"""


def upgrade() -> None:
    """Change the function, and count a table that is not large."""
    op.execute(_LOCK)
    op.execute(_KINDS.format(rows=9, of_status=_OF_STATUS))
    op.execute(_MARKS)
    op.create_table_comment("order_count_marks", _COMMENT)
    op.execute(_GUARD)
    op.execute(_COUNT)
    op.execute(_MARK)


def downgrade() -> None:
    """Forget these kinds."""
    op.execute(_LOCK)
    op.execute(_KINDS.format(rows=6, of_status=""))
    op.execute("DELETE FROM order_counts WHERE kind IN ('sday', 'shour', 'sminute')")
    op.execute("DROP TABLE order_count_marks")
