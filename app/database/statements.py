"""Every statement of the hot path, in one place, with its columns taken from the tables.

An HTTP change is one statement: the order guarded by its version, and from its RETURNING the history line, the
outbox row and the stored answer. So all of it happens or none, without a transaction block. The key goes last and
plain: a key that is taken raises 23505 and undoes the order.
"""

from collections.abc import Mapping
from itertools import product

from sqlalchemy import BigInteger, DateTime, Integer, LargeBinary, Numeric, SmallInteger, Table, Uuid

from app.database.statement import Statement
from app.models.models import Order, dead_letters, given_up_commands, order_changes, outbox


def _type(column: object) -> str:
    kind = column.type  # type: ignore[attr-defined]
    if isinstance(kind, DateTime):
        return "timestamptz" if kind.timezone else "timestamp"
    # BigInteger and SmallInteger are Integers too, so they come first.
    names = {BigInteger: "bigint", SmallInteger: "smallint", Integer: "integer", Numeric: "numeric"}
    names |= {LargeBinary: "bytea", Uuid: "uuid"}
    return next((name for python_type, name in names.items() if isinstance(kind, python_type)), "text")


def _columns(table: Table, *left_out: str) -> dict[str, str]:
    return {column.name: _type(column) for column in table.columns if column.name not in left_out}


ORDER = _columns(Order.__table__)
CHANGE = _columns(order_changes, "created_at")
EVENT = _columns(outbox, "id", "aggregatetype", "created_at", "refusal")
DEAD_LETTER = _columns(dead_letters, "id", "sent_at", "created_at", "resolution", "resolved_at", "refusal")
GIVEN_UP = _columns(given_up_commands, "id", "created_at")

ORDER_LIST = ", ".join(ORDER)
_CHANGING = [column for column in ORDER if column not in ("order_id", "created_at")]  # a time that we cannot read stays


# Reading

LOAD_ORDERS = Statement(
    "load_orders",
    {"order_ids": "text[]"},
    f"SELECT {ORDER_LIST} FROM orders WHERE order_id = ANY ($order_ids)",
)
LOCK_ORDERS = Statement(
    "lock_orders",
    {"order_ids": "text[]"},
    f"SELECT {ORDER_LIST} FROM orders WHERE order_id = ANY ($order_ids) ORDER BY order_id FOR UPDATE",
)
# A use that nobody confirmed for so long belongs to a call whose answer was lost: its caller asks again.
UNCONFIRMED_SECONDS = 1
# By the clock, not by when the transaction began: it may wait for just that.
_REMEMBERED = "order_id = $order_id AND refused_at > clock_timestamp() - make_interval(secs => $seconds)"
_FREE = f"(used_by IS NULL OR used_at < clock_timestamp() - interval '{UNCONFIRMED_SECONDS} s')"
IS_FORGIVABLE = Statement(
    "is_forgivable",
    {"order_id": "text", "seconds": "integer"},
    f"SELECT coalesce(bool_or({_FREE}), false), count(*) > 0 FROM refused_accepts WHERE {_REMEMBERED}",
)
FIND_ANSWER = Statement(
    "find_answer",
    {"path": "text", "key": "text"},
    "SELECT body_hash, status, body FROM idempotency_keys WHERE path = $path AND key = $key",
)
FIND_CHANGE = Statement(
    "find_change",
    {"order_id": "text", "version": "integer", "change_id": "uuid"},
    "SELECT 1 FROM order_changes WHERE order_id = $order_id AND version = $version AND change_id = $change_id",
)
READ_ONLY = Statement("read_only", {}, "SELECT current_setting('transaction_read_only')")  # on a standby it is on


# Writing one change (HTTP)

_HISTORY = {"change_id": "uuid", "kind": "text", "from_status": "text", "concerned": "text", "door": "text"}
_HISTORY |= {"correlation_id": "text"}
_ANSWER = {"path": "text", "key": "text", "body_hash": "bytea", "answer_status": "smallint", "answer": "bytea"}
# Who has the key may wait for the row a little longer than a twin waits for the key: the twin then sees it in use.
_CLAIM = (
    "claim AS MATERIALIZED (SELECT pg_advisory_xact_lock(hashtextextended($path || ' ' || $key, 0)), "
    "set_config('lock_timeout', '0', true)), "
)
_STORE = (
    "INSERT INTO idempotency_keys (path, key, body_hash, status, body) "
    "SELECT $path, $key, $body_hash, $answer_status, $answer FROM "
)


def _write(*, new: bool, announced: bool, keyed: bool) -> Statement:
    parameters = {**ORDER, **_HISTORY}
    source = "claim" if keyed else "(SELECT) AS always"
    values = ", ".join(f"${column}" for column in ORDER)
    if new:
        changed = f"INSERT INTO orders ({ORDER_LIST}) SELECT {values} FROM {source}"
    else:
        settings = ", ".join(f"{column} = ${column}" for column in _CHANGING)
        changed = f"UPDATE orders SET {settings} FROM {source} WHERE order_id = $order_id "
        changed += "AND version = $version - 1"
    parts = [
        f"changed AS ({changed} RETURNING order_id, version)",
        "history AS (INSERT INTO order_changes (order_id, version, change_id, kind, from_status, to_status, "
        "payment_status, runner_id, door, correlation_id) SELECT order_id, version, $change_id, $kind, "
        "$from_status, $order_status, $payment_status, $concerned, $door, $correlation_id FROM changed)",
    ]
    if announced:
        parameters |= {"type": "text", "payload": "bytea"}
        parts.append(
            "event AS (INSERT INTO outbox (event_id, aggregateid, type, correlation_id, version, payload) "
            "SELECT $change_id, order_id, $type, $correlation_id, version, $payload FROM changed)"
        )
    if keyed:
        parameters |= _ANSWER
        parts.append(f"stored AS ({_STORE} changed)")
    name = "_".join(["insert" if new else "update", *["event"] * announced, *["key"] * keyed])
    return Statement(name, parameters, f"WITH {_CLAIM * keyed}{', '.join(parts)} SELECT version FROM changed")


WRITES = {
    (new, announced, keyed): _write(new=new, announced=announced, keyed=keyed)
    for new, announced, keyed in product((False, True), repeat=3)
}
KEEP_ANSWER = Statement("keep_answer", _ANSWER, f"WITH {_CLAIM[:-2]} {_STORE} claim")
CLAIM_KEY = Statement(
    "claim_key",
    {"path": "text", "key": "text"},
    "SELECT pg_advisory_xact_lock(hashtextextended($path || ' ' || $key, 0))",
)
TRY_CLAIM_KEY = Statement(
    "try_claim_key",
    {"path": "text", "key": "text"},
    "SELECT pg_try_advisory_xact_lock(hashtextextended($path || ' ' || $key, 0))",
)
REMEMBER_REFUSAL = Statement(
    "remember_refusal",
    {"order_id": "text", "runner_id": "text"},
    "INSERT INTO refused_accepts (order_id, runner_id) VALUES ($order_id, $runner_id) "
    "ON CONFLICT (order_id, runner_id) DO UPDATE SET refused_at = now(), used_by = NULL, used_at = NULL",
)
# Marked, not deleted: after a lost connection the mark tells whether the call had its refusal. A call that tries again
# takes no second one: its first try may come to its end meanwhile.
USE_UP_REFUSAL = Statement(
    "use_up_refusal",
    {"order_id": "text", "seconds": "integer", "call_id": "uuid"},
    "UPDATE refused_accepts SET used_by = $call_id, used_at = clock_timestamp() WHERE (order_id, runner_id) = "
    f"(SELECT order_id, runner_id FROM refused_accepts WHERE {_REMEMBERED} AND ({_FREE} OR used_by = $call_id) "
    "ORDER BY used_by IS DISTINCT FROM $call_id, refused_at LIMIT 1 FOR UPDATE) "
    "RETURNING runner_id",
)
FIND_USE = Statement(
    "find_use",
    {"order_id": "text", "call_id": "uuid"},
    "SELECT 1 FROM refused_accepts WHERE order_id = $order_id AND used_by = $call_id",
)
CONFIRM_USE = Statement(
    "confirm_use",
    {"order_id": "text", "call_id": "uuid"},
    "DELETE FROM refused_accepts WHERE order_id = $order_id AND used_by = $call_id",
)


# Writing a batch of commands (Kafka): one unnest a table


def _unnest(columns: Mapping[str, str]) -> str:
    arrays = ", ".join(f"${column}" for column in columns)
    return f"unnest({arrays}) WITH ORDINALITY AS n ({', '.join(_quoted(columns))}, place)"


def _quoted(columns: Mapping[str, str]) -> list[str]:
    return [f'"{column}"' for column in columns]


def _arrays(columns: Mapping[str, str]) -> dict[str, str]:
    return {column: f"{kind}[]" for column, kind in columns.items()}


def _insert_many(name: str, table: str, columns: Mapping[str, str], returning: str = "RETURNING 1") -> Statement:
    names = ", ".join(_quoted(columns))
    # The order of the list is the order of the identity column.
    sql = f"INSERT INTO {table} ({names}) SELECT {names} FROM {_unnest(columns)} ORDER BY place {returning}"
    return Statement(name, _arrays(columns), sql)


INSERT_ORDERS = _insert_many("insert_orders", "orders", ORDER)
INSERT_CHANGES = _insert_many("insert_changes", "order_changes", CHANGE)
INSERT_EVENTS = _insert_many("insert_events", "outbox", EVENT)
_WRITTEN = {**ORDER, **_HISTORY, "type": "text", "payload": "bytea"}
_HISTORY_OF_MANY = (
    "history AS (INSERT INTO order_changes (order_id, version, change_id, kind, from_status, to_status, "
    "payment_status, runner_id, door, correlation_id) SELECT order_id, version, change_id, kind, from_status, "
    "order_status, payment_status, concerned, door, correlation_id FROM {source})"
)
_EVENTS_OF_MANY = (
    "INSERT INTO outbox (event_id, aggregateid, type, correlation_id, version, payload) "
    "SELECT change_id, order_id, type, correlation_id, version, payload FROM {source} "
    "WHERE payload IS NOT NULL ORDER BY place"
)
# What many requests write at once, without keys: nothing in these two waits for a row that somebody holds.
INSERT_NEW = Statement(
    "insert_new",
    _arrays(_WRITTEN),
    f"WITH new AS (SELECT * FROM {_unnest(_WRITTEN)}), "
    f"made AS (INSERT INTO orders ({ORDER_LIST}) SELECT {ORDER_LIST} FROM new ORDER BY place), "
    f"{_HISTORY_OF_MANY.format(source='new')} {_EVENTS_OF_MANY.format(source='new')}",
)
# Each order once. Returns the ids of those that were as expected and that nobody else held.
UPDATE_FREE = Statement(
    "update_free",
    _arrays(_WRITTEN),
    f"WITH new AS (SELECT * FROM {_unnest(_WRITTEN)}), "
    "free AS MATERIALIZED (SELECT o.order_id FROM orders AS o JOIN new ON o.order_id = new.order_id "
    "WHERE o.version = new.version - 1 FOR UPDATE OF o SKIP LOCKED), "
    f"changed AS (UPDATE orders AS o SET {', '.join(f'{it} = new.{it}' for it in _CHANGING)} "
    "FROM new JOIN free USING (order_id) WHERE o.order_id = new.order_id AND o.version = new.version - 1 "
    "RETURNING o.order_id), "
    "done AS (SELECT new.* FROM new JOIN changed USING (order_id)), "
    f"{_HISTORY_OF_MANY.format(source='done')}, events AS ({_EVENTS_OF_MANY.format(source='done')}) "
    "SELECT order_id FROM changed",
)
# One that is there already comes back as it is: an operator set the stored offset back over it.
INSERT_DEAD_LETTERS = _insert_many(
    "insert_dead_letters",
    "dead_letters",
    DEAD_LETTER,
    "ON CONFLICT (event_id) DO UPDATE SET event_id = excluded.event_id RETURNING 1",
)
INSERT_GIVEN_UP = Statement(
    "insert_given_up",
    GIVEN_UP,
    f"INSERT INTO given_up_commands ({', '.join(_quoted(GIVEN_UP))}) "
    f"VALUES ({', '.join(f'${column}' for column in GIVEN_UP)}) ON CONFLICT (event_id) DO NOTHING",
)
UPDATE_ORDERS = Statement(
    "update_orders",
    _arrays({**ORDER, "guard": "integer"}),
    f"UPDATE orders AS o SET {', '.join(f'{column} = n.{column}' for column in _CHANGING)} "
    f"FROM {_unnest({**ORDER, 'guard': 'integer'})} "
    "WHERE o.order_id = n.order_id AND o.version = n.guard RETURNING 1",
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
FIND_OFFSET = Statement(
    "find_offset",
    {"topic": "text", "partition": "integer"},
    "SELECT topic_id, next_offset, last_offset, last_timestamp, last_hash, last_epoch, floor_offset, floor_at "
    "FROM consumer_offsets WHERE topic = $topic AND partition = $partition",
)
FIRST_OFFSET = Statement(
    "first_offset",
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
# With it, when it was last proved to be there: at the latest when its commands were handled.
FIND_CLUSTER = Statement(
    "find_cluster",
    {},
    "SELECT cluster_id, addresses, GREATEST(seen_at, (SELECT max(updated_at) FROM consumer_offsets)) "
    "FROM kafka_cluster ORDER BY seen_at DESC LIMIT 1",
)
# Of two instances that meet a new cluster at once, or two new clusters, one row is left.
KEEP_CLUSTER = Statement(
    "keep_cluster",
    {"known": "text", "cluster_id": "text", "addresses": "text"},
    "WITH gone AS (DELETE FROM kafka_cluster WHERE cluster_id = $known AND cluster_id <> $cluster_id) "
    "INSERT INTO kafka_cluster (cluster_id, addresses) VALUES ($cluster_id, $addresses) "
    "ON CONFLICT (cluster_id) DO UPDATE SET addresses = excluded.addresses, seen_at = excluded.seen_at",
)
