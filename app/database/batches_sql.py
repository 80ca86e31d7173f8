"""The statements of the consumer: its stored offsets, and a batch of commands with one statement a table."""

from collections.abc import Mapping

from app.database.columns import arrays, columns, quoted, unnest
from app.database.orders_sql import CHANGING, ORDER_COLUMNS
from app.database.statement import Statement
from app.models.kafka_tables import dead_letters, given_up_commands, outbox
from app.models.models import order_changes

CHANGE_COLUMNS = columns(order_changes, "created_at", "caller")  # a command has its place instead
EVENT_COLUMNS = columns(outbox, "id", "aggregatetype", "created_at", "refusal")
DEAD_LETTER_COLUMNS = columns(
    dead_letters, "id", "sent_at", "created_at", "resolution", "resolved_at", "refusal", "sent_as"
)
GIVEN_UP_COLUMNS = columns(given_up_commands, "id", "created_at")


# Stored offsets

FIND_OFFSET = Statement(
    "find_offset",
    {"topic": "text", "partition": "integer"},
    "SELECT topic_id, next_offset, last_offset, last_timestamp, last_hash, last_epoch, floor_offset, floor_at "
    "FROM consumer_offsets WHERE topic = $topic AND partition = $partition",
)
FIRST_OFFSET = Statement(
    "store_first_offset",
    {
        "topic": "text",
        "partition": "integer",
        "topic_id": "uuid",
        "next_offset": "bigint",
        "floor_offset": "bigint",
        "floor_at": "timestamptz",
    },
    "INSERT INTO consumer_offsets (topic, partition, topic_id, next_offset, floor_offset, floor_at) "
    "VALUES ($topic, $partition, $topic_id, $next_offset, $floor_offset, $floor_at) ON CONFLICT DO NOTHING",
)
_CHECKPOINT = {"last_offset": "bigint", "last_timestamp": "bigint", "last_hash": "bytea", "last_epoch": "integer"}
_SET_CHECKPOINT = ", ".join(f"{column} = ${column}" for column in _CHECKPOINT)
# The trail of checkpoints is of the log as it was: what comes after the new offset is no longer there.
RESET_OFFSET = Statement(
    "reset_offset",
    {
        "topic": "text",
        "partition": "integer",
        "old_topic_id": "uuid",
        "old_offset": "bigint",
        "topic_id": "uuid",
        "next_offset": "bigint",
        "floor_offset": "bigint",
        **_CHECKPOINT,
    },
    "WITH reset AS (UPDATE consumer_offsets SET topic_id = $topic_id, next_offset = $next_offset, "
    f"floor_offset = $floor_offset, {_SET_CHECKPOINT}, updated_at = now() "
    "WHERE topic = $topic AND partition = $partition AND topic_id = $old_topic_id "
    "AND next_offset = $old_offset RETURNING 1), "
    "gone AS (DELETE FROM consumer_checkpoints WHERE topic = $topic AND partition = $partition "
    'AND ("offset" >= $next_offset OR $topic_id <> $old_topic_id) AND EXISTS (SELECT FROM reset)) '
    "SELECT 1 FROM reset",
)
FIND_TRAIL = Statement(
    "find_trail",
    {"topic": "text", "partition": "integer", "below": "bigint", "days": "integer"},
    'SELECT "offset", "timestamp", hash, epoch FROM consumer_checkpoints WHERE topic = $topic '
    'AND partition = $partition AND "offset" < $below AND kept_at > now() - make_interval(days => $days) '
    'ORDER BY "offset" DESC',
)
# Thinned so that the distance between two doubles with their age in records: some dozens for any log.
KEEP_CHECKPOINT = Statement(
    "keep_checkpoint",
    {"topic": "text", "partition": "integer"},
    "WITH stands AS (SELECT * FROM consumer_offsets WHERE topic = $topic AND partition = $partition "
    "AND last_offset = next_offset - 1 AND last_hash IS NOT NULL), "
    'kept AS (INSERT INTO consumer_checkpoints (topic, partition, "offset", "timestamp", hash, epoch) '
    "SELECT topic, partition, last_offset, last_timestamp, last_hash, last_epoch FROM stands "
    'ON CONFLICT (topic, partition, "offset") DO UPDATE SET "timestamp" = excluded."timestamp", '
    "hash = excluded.hash, epoch = excluded.epoch, kept_at = excluded.kept_at) "
    'DELETE FROM consumer_checkpoints WHERE topic = $topic AND partition = $partition AND "offset" IN ('
    'SELECT old."offset" FROM (SELECT known."offset", row_number() OVER ('
    'PARTITION BY floor(log(2, stands.next_offset - known."offset")) ORDER BY known."offset") AS place '
    "FROM consumer_checkpoints AS known JOIN stands USING (topic, partition) "
    'WHERE known."offset" < stands.next_offset) AS old WHERE old.place > 1)',
)


# A batch

MOVE_OFFSET = Statement(
    "move_offset",
    {
        "topic": "text",
        "partition": "integer",
        "topic_id": "uuid",
        "expected": "bigint",
        "next_offset": "bigint",
        **_CHECKPOINT,
    },
    f"UPDATE consumer_offsets SET next_offset = $next_offset, {_SET_CHECKPOINT}, updated_at = now() "
    "WHERE topic = $topic AND partition = $partition AND topic_id = $topic_id AND next_offset = $expected "
    "RETURNING 1",
)
CLAIM_COMMANDS = Statement(
    "claim_commands",
    {"hashes": "bytea[]"},
    "INSERT INTO command_identities (hash) SELECT hash FROM unnest($hashes) AS n (hash) ORDER BY hash "
    "ON CONFLICT DO NOTHING RETURNING hash",
)
CLAIM_SAGAS = Statement(
    "claim_sagas",
    {"saga_ids": "text[]", "order_ids": "text[]"},
    "INSERT INTO saga_orders (saga_id, order_id) SELECT saga_id, order_id "
    "FROM unnest($saga_ids, $order_ids) AS n (saga_id, order_id) ORDER BY saga_id "
    "ON CONFLICT DO NOTHING RETURNING saga_id",
)
FIND_SAGAS = Statement(
    "find_sagas",
    {"saga_ids": "text[]"},
    "SELECT saga_id, order_id FROM saga_orders WHERE saga_id = ANY ($saga_ids)",
)


def _insert_many(name: str, table: str, columns: Mapping[str, str], returning: str = "RETURNING 1") -> Statement:
    names = ", ".join(quoted(columns))
    # The order of the list is the order of the identity column.
    sql = f"INSERT INTO {table} ({names}) SELECT {names} FROM {unnest(columns)} ORDER BY place {returning}"
    return Statement(name, arrays(columns), sql)


INSERT_ORDERS = _insert_many("insert_orders", "orders", ORDER_COLUMNS)
UPDATE_ORDERS = Statement(
    "update_orders",
    arrays({**ORDER_COLUMNS, "guard": "integer"}),
    f"UPDATE orders AS o SET {', '.join(f'{column} = n.{column}' for column in CHANGING)} "
    f"FROM {unnest({**ORDER_COLUMNS, 'guard': 'integer'})} "
    "WHERE o.order_id = n.order_id AND o.version = n.guard RETURNING 1",
)
INSERT_CHANGES = _insert_many("insert_changes", "order_changes", CHANGE_COLUMNS)
INSERT_EVENTS = _insert_many("insert_events", "outbox", EVENT_COLUMNS)
# One that is there already comes back as it is: an operator set the stored offset back over it.
INSERT_DEAD_LETTERS = _insert_many(
    "insert_dead_letters",
    "dead_letters",
    DEAD_LETTER_COLUMNS,
    "ON CONFLICT (event_id) DO UPDATE SET event_id = excluded.event_id RETURNING 1",
)
INSERT_GIVEN_UP = Statement(
    "insert_given_up",
    GIVEN_UP_COLUMNS,
    f"INSERT INTO given_up_commands ({', '.join(quoted(GIVEN_UP_COLUMNS))}) "
    f"VALUES ({', '.join(f'${column}' for column in GIVEN_UP_COLUMNS)}) ON CONFLICT (event_id) DO NOTHING",
)
