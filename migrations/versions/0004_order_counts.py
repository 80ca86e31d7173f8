"""How many orders there are, by status, customer, runner, day and minute: lists need no count(*) and no long OFFSET.

Triggers note each change of an order as signed rows of `order_count_deltas`, whoever makes it: this service, an older
version of it, the service before it, a person. Nobody waits for a counter; a background thread folds the rows into
`order_counts`. The sum of both is exact in every snapshot.
"""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create tables and triggers and count what is there; orders are locked against writes meanwhile."""
    for statement in (*TABLES, *FUNCTIONS, *TRIGGERS):
        op.execute(statement)
    for table, comment in COMMENTS.items():
        op.create_table_comment(table, comment)
    op.execute("SELECT recount_orders()")


def downgrade() -> None:
    """Back to lists that count."""
    for trigger in ("order_made", "order_moved", "order_gone", "orders_emptied"):
        op.execute(f"DROP TRIGGER {trigger} ON orders")
    for function in ("recount_orders()", "note_order_counts()", "kinds_of_order(varchar, varchar, varchar, timestamp)"):
        op.execute(f"DROP FUNCTION {function}")
    op.execute("DROP TABLE order_count_deltas")
    op.execute("DROP TABLE order_counts")


TABLES = (
    """
    CREATE TABLE order_counts (
        kind varchar(10) NOT NULL,
        value varchar(255) COLLATE "C" NOT NULL,
        orders bigint NOT NULL,
        CONSTRAINT order_counts_pkey PRIMARY KEY (kind, value)
    ) WITH (fillfactor = 70)
    """,
    """
    CREATE TABLE order_count_deltas (
        sign smallint NOT NULL,
        order_status varchar(10) NOT NULL,
        cust_id varchar(255) NOT NULL,
        runner_id varchar(255),
        created_at timestamp NOT NULL
    ) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000)
    """,
    # Where all tables are published, rows without an identity cannot be deleted: not even by recount_orders() below.
    "ALTER TABLE order_count_deltas REPLICA IDENTITY FULL",
)
# The functions run as their owner, so that whoever may write orders need not be told of these tables; they name the
# schema, so that a search path cannot lead them elsewhere.
FUNCTIONS = (
    """
    CREATE FUNCTION kinds_of_order(order_status varchar, cust_id varchar, runner_id varchar, created_at timestamp)
    RETURNS TABLE (kind varchar, value varchar) LANGUAGE sql STABLE ROWS 5 AS $$
        SELECT * FROM (VALUES
            ('status', order_status), ('customer', cust_id), ('runner', runner_id),
            ('day', to_char(created_at, 'YYYY-MM-DD')), ('minute', to_char(created_at, 'YYYY-MM-DD HH24:MI'))
        ) AS kinds (kind, value) WHERE value IS NOT NULL
    $$
    """,
    """
    DO $do$
    BEGIN
        EXECUTE format($$
            CREATE FUNCTION note_order_counts() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $function$
            BEGIN
                IF TG_OP = 'INSERT' THEN
                    INSERT INTO %1$I.order_count_deltas
                    VALUES (1, NEW.order_status, NEW.cust_id, NEW.runner_id, NEW.created_at);
                ELSIF TG_OP = 'UPDATE' THEN
                    INSERT INTO %1$I.order_count_deltas
                    VALUES (-1, OLD.order_status, OLD.cust_id, OLD.runner_id, OLD.created_at),
                           (1, NEW.order_status, NEW.cust_id, NEW.runner_id, NEW.created_at);
                ELSIF TG_OP = 'DELETE' THEN
                    INSERT INTO %1$I.order_count_deltas
                    VALUES (-1, OLD.order_status, OLD.cust_id, OLD.runner_id, OLD.created_at);
                ELSE
                    DELETE FROM %1$I.order_count_deltas;
                    DELETE FROM %1$I.order_counts;
                END IF;
                RETURN NULL;
            END
            $function$
        $$, current_schema());
        EXECUTE format($$
            CREATE FUNCTION recount_orders() RETURNS void LANGUAGE plpgsql SECURITY DEFINER AS $function$
            BEGIN
                LOCK TABLE %1$I.orders IN SHARE ROW EXCLUSIVE MODE;
                DELETE FROM %1$I.order_count_deltas;
                DELETE FROM %1$I.order_counts;
                INSERT INTO %1$I.order_counts (kind, value, orders)
                SELECT kinds.kind, kinds.value, count(*)
                FROM %1$I.orders AS o,
                     %1$I.kinds_of_order(o.order_status, o.cust_id, o.runner_id, o.created_at) AS kinds
                GROUP BY kinds.kind, kinds.value;
            END
            $function$
        $$, current_schema());
    END
    $do$
    """,
    "REVOKE ALL ON FUNCTION recount_orders() FROM PUBLIC",
)
_COUNTED = ("order_status", "cust_id", "runner_id", "created_at")
TRIGGERS = (
    "CREATE TRIGGER order_made AFTER INSERT ON orders FOR EACH ROW EXECUTE FUNCTION note_order_counts()",
    "CREATE TRIGGER order_moved AFTER UPDATE ON orders FOR EACH ROW WHEN "
    f"(({', '.join(f'OLD.{column}' for column in _COUNTED)}) IS DISTINCT FROM "
    f"({', '.join(f'NEW.{column}' for column in _COUNTED)})) EXECUTE FUNCTION note_order_counts()",
    "CREATE TRIGGER order_gone AFTER DELETE ON orders FOR EACH ROW EXECUTE FUNCTION note_order_counts()",
    "CREATE TRIGGER orders_emptied AFTER TRUNCATE ON orders FOR EACH STATEMENT EXECUTE FUNCTION note_order_counts()",
)
COMMENTS = {
    "order_counts": "How many orders have a status, customer, runner, or were made on a day or in a minute (UTC), "
    "but for what is in order_count_deltas",
    "order_count_deltas": "What changed since: an order came (1) or went (-1) with this status, customer, runner and "
    "time; folded into order_counts every second",
}
