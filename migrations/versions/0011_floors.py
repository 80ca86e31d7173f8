"""Lists begin above what is folded, however many dead rows a held snapshot keeps; a refused event is named as such.

Rows of `order_count_deltas` get a growing id, and `order_count_floors` an id below which none is left or will come. An
event that is taken out of the outbox stays in `taken_out_events`.
"""

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

# Not as one new column with a default: that writes the table anew, and older snapshots would see it empty.
NUMBER_DELTAS = (
    "ALTER TABLE order_count_deltas ADD COLUMN id bigint",
    "UPDATE order_count_deltas SET id = numbered.id FROM "
    "(SELECT ctid AS place, row_number() OVER () AS id FROM order_count_deltas) AS numbered "
    "WHERE ctid = numbered.place",
    "ALTER TABLE order_count_deltas ALTER COLUMN id SET NOT NULL",
    "ALTER TABLE order_count_deltas ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (CACHE 1)",
    "SELECT setval(pg_get_serial_sequence('order_count_deltas', 'id'), "
    "(SELECT count(*) + 1 FROM order_count_deltas), false)",
    "ALTER TABLE order_count_deltas ADD CONSTRAINT order_count_deltas_pkey PRIMARY KEY (id)",
)
TABLES = (
    "CREATE TABLE order_count_floors (id bigint NOT NULL, CONSTRAINT order_count_floors_pkey PRIMARY KEY (id)) "
    "WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500)",
    """
    CREATE TABLE taken_out_events (
        event_id uuid NOT NULL,
        outbox_id bigint NOT NULL,
        aggregateid varchar(255) NOT NULL,
        type varchar(40) NOT NULL,
        correlation_id varchar(255) NOT NULL,
        version integer,
        payload bytea NOT NULL,
        refusal text NOT NULL,
        created_at timestamptz NOT NULL,
        taken_out_at timestamptz DEFAULT now() NOT NULL,
        put_back_at timestamptz,
        CONSTRAINT taken_out_events_pkey PRIMARY KEY (event_id)
    )
    """,
)
COMMENTS = {
    "order_count_floors": "No row of order_count_deltas has an id up to the highest of these, nor will one ever have",
    "taken_out_events": "Events that Kafka refused and an operator took out of the outbox: holes for consumers, until "
    "they are put back",
}


def upgrade() -> None:
    """Change the catalogue; 0008 took the locks."""
    for table in TABLES:
        op.execute(table)
    for table, comment in COMMENTS.items():
        op.create_table_comment(table, comment)
    op.execute("ALTER TABLE outbox ADD COLUMN refusal text")
    for statement in NUMBER_DELTAS:
        op.execute(statement)


def downgrade() -> None:
    """Back to lists that read all deltas."""
    op.execute("ALTER TABLE order_count_deltas DROP COLUMN id")
    op.execute("ALTER TABLE outbox DROP COLUMN refusal")
    op.execute("DROP TABLE order_count_floors")
    op.execute("DROP TABLE taken_out_events")
