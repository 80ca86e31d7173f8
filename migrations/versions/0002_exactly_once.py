"""What exactly-once needs: versions and history, outbox, identities, stored offsets and answers.

Widening a varchar and adding a column with a constant default rewrite nothing; only a column of the old enum type
does. The indexes are built while the table is locked against writes.
"""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

STATUSES = "'PENDING', 'CREATED', 'ACCEPTED', 'PLACED', 'ON_THE_WAY', 'DELIVERED', 'COMPLETED', 'CANCELLED'"
PAYMENT_STATUSES = "'PENDING', 'AUTHORIZED', 'CAPTURED', 'REFUNDED', 'FAILED'"
LISTS = (
    "created_at, order_id",
    *(f"{column}, created_at, order_id" for column in ("order_status", "runner_id", "cust_id")),
)


def upgrade() -> None:
    """Extend the orders and create the tables beside them."""
    _take_over_the_status()
    for column in ("order_id", "cust_id", "runner_id", "saga_id"):
        op.execute(f"ALTER TABLE orders ALTER COLUMN {column} TYPE varchar(255)")
    op.execute(
        f"""
        ALTER TABLE orders
            ADD COLUMN payment_status varchar(10) NOT NULL DEFAULT 'PENDING',
            ADD COLUMN cancel_reason text,
            ADD COLUMN version integer NOT NULL DEFAULT 1,
            ALTER COLUMN order_status SET NOT NULL,
            ADD CONSTRAINT ck_orders_order_status CHECK (order_status IN ({STATUSES})),
            ADD CONSTRAINT ck_orders_payment_status CHECK (payment_status IN ({PAYMENT_STATUSES}))
        """
    )
    for columns in LISTS:
        op.execute(f"CREATE INDEX {_index_name(columns)} ON orders ({columns})")
    for column in ("cust_id", "runner_id", "order_status"):  # the longer ones above serve these too
        op.execute(f"DROP INDEX IF EXISTS ix_orders_{column}")
    for table in TABLES:
        op.execute(table)
    for table, comment in COMMENTS.items():
        op.create_table_comment(table, comment)
    # The oldest order of a saga id is the one it made.
    op.execute(
        """
        INSERT INTO saga_orders (saga_id, order_id)
        SELECT DISTINCT ON (saga_id) saga_id, order_id FROM orders
        WHERE saga_id IS NOT NULL ORDER BY saga_id, created_at, order_id
        """
    )


def downgrade() -> None:
    """Back to the table as it was taken over; the columns stay wide."""
    for name in (
        "relay_positions",
        "consumer_offsets",
        "refused_accepts",
        "saga_orders",
        "command_identities",
        "idempotency_keys",
        "dead_letters",
        "outbox",
        "order_changes",
    ):
        op.execute(f"DROP TABLE {name}")
    for column in ("cust_id", "runner_id", "order_status"):
        op.execute(f"CREATE INDEX ix_orders_{column} ON orders ({column})")
    for columns in LISTS:
        op.execute(f"DROP INDEX {_index_name(columns)}")
    op.execute(
        "ALTER TABLE orders DROP CONSTRAINT ck_orders_order_status, DROP COLUMN payment_status, "
        "DROP COLUMN cancel_reason, DROP COLUMN version"
    )


def _index_name(columns: str) -> str:
    return f"ix_orders_{columns.replace(', ', '_')}"


def _take_over_the_status() -> None:
    """Older tables hold the status as an enum type; the names are the same."""
    op.execute(
        """
        DO $$
        BEGIN
            IF EXISTS (
                SELECT FROM information_schema.columns
                WHERE table_schema = current_schema() AND table_name = 'orders'
                AND column_name = 'order_status' AND data_type = 'USER-DEFINED'
            ) THEN
                ALTER TABLE orders ALTER COLUMN order_status DROP DEFAULT;
                ALTER TABLE orders ALTER COLUMN order_status TYPE varchar(10) USING order_status::text;
            END IF;
        END $$
        """
    )


TABLES = (
    """
    CREATE TABLE order_changes (
        order_id varchar(255) NOT NULL,
        version integer NOT NULL,
        change_id uuid NOT NULL,
        kind varchar(20) NOT NULL,
        from_status varchar(10),
        to_status varchar(10) NOT NULL,
        payment_status varchar(10) NOT NULL,
        runner_id varchar(255),
        door varchar(10) NOT NULL,
        correlation_id varchar(255) NOT NULL,
        source_topic text,
        source_partition integer,
        source_offset bigint,
        created_at timestamptz NOT NULL DEFAULT now(),
        CONSTRAINT order_changes_pkey PRIMARY KEY (order_id, version)
    )
    """,
    """
    CREATE TABLE outbox (
        id bigint GENERATED ALWAYS AS IDENTITY (CACHE 1),
        event_id uuid NOT NULL,
        aggregatetype varchar(20) NOT NULL DEFAULT 'order',
        aggregateid varchar(255) NOT NULL,
        type varchar(40) NOT NULL,
        correlation_id varchar(255) NOT NULL,
        version integer,
        payload bytea NOT NULL,
        created_at timestamptz NOT NULL DEFAULT now(),
        CONSTRAINT outbox_pkey PRIMARY KEY (id)
    ) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000)
    """,
    """
    CREATE TABLE dead_letters (
        id bigint GENERATED ALWAYS AS IDENTITY (CACHE 1),
        event_id uuid NOT NULL,
        topic text NOT NULL,
        partition integer NOT NULL,
        "offset" bigint NOT NULL,
        key bytea,
        value bytea,
        error text NOT NULL,
        sent_at timestamptz,
        created_at timestamptz NOT NULL DEFAULT now(),
        CONSTRAINT dead_letters_pkey PRIMARY KEY (id),
        CONSTRAINT uq_dead_letters_event_id UNIQUE (event_id)
    )
    """,
    "CREATE INDEX ix_dead_letters_unsent ON dead_letters (id) WHERE sent_at IS NULL",
    """
    CREATE TABLE idempotency_keys (
        path varchar(64) NOT NULL,
        key varchar(255) NOT NULL,
        body_hash bytea NOT NULL,
        status smallint NOT NULL,
        body bytea NOT NULL,
        created_at timestamptz NOT NULL DEFAULT now(),
        CONSTRAINT idempotency_keys_pkey PRIMARY KEY (path, key)
    )
    """,
    "CREATE INDEX ix_idempotency_keys_created_at ON idempotency_keys (created_at)",
    """
    CREATE TABLE command_identities (
        hash bytea NOT NULL,
        created_at timestamptz NOT NULL DEFAULT now(),
        CONSTRAINT command_identities_pkey PRIMARY KEY (hash)
    )
    """,
    "CREATE INDEX ix_command_identities_created_at ON command_identities (created_at)",
    """
    CREATE TABLE saga_orders (
        saga_id varchar(255) NOT NULL,
        order_id varchar(255) NOT NULL,
        CONSTRAINT saga_orders_pkey PRIMARY KEY (saga_id)
    )
    """,
    """
    CREATE TABLE refused_accepts (
        order_id varchar(255) NOT NULL,
        runner_id varchar(255) NOT NULL,
        refused_at timestamptz NOT NULL DEFAULT now(),
        CONSTRAINT refused_accepts_pkey PRIMARY KEY (order_id, runner_id)
    )
    """,
    "CREATE INDEX ix_refused_accepts_refused_at ON refused_accepts (refused_at)",
    """
    CREATE TABLE consumer_offsets (
        topic text NOT NULL,
        partition integer NOT NULL,
        topic_id uuid NOT NULL,
        next_offset bigint NOT NULL,
        updated_at timestamptz NOT NULL DEFAULT now(),
        CONSTRAINT consumer_offsets_pkey PRIMARY KEY (topic, partition)
    )
    """,
    """
    CREATE TABLE relay_positions (
        topic text NOT NULL,
        partition integer NOT NULL,
        topic_id uuid NOT NULL,
        next_offset bigint NOT NULL,
        CONSTRAINT relay_positions_pkey PRIMARY KEY (topic, partition)
    )
    """,
)
COMMENTS = {
    "order_changes": "History: one line per change of an order; the primary key keeps its versions gapless and single",
    "outbox": "Events that are committed but not yet acknowledged by Kafka, in sending order",
    "dead_letters": "Every command that could not be read, with its bytes; "
    "the relay sends them to the dead letter topic",
    "idempotency_keys": "Answers given under an Idempotency-Key, to be given again",
    "command_identities": "SHA-256 of the bytes of every command handled: the same bytes again are the same command",
    "saga_orders": "Which order a saga made; kept for ever",
    "refused_accepts": "Runners whose accept was refused a moment ago: "
    "their bare clearRunner must not take the winner's order",
    "consumer_offsets": "The next command to handle of each partition; moved in the transaction that holds the effects",
    "relay_positions": "Up to where each topic holds nothing that is still in the outbox: read-back starts here",
}
