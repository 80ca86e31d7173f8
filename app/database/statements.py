"""The statements of the HTTP door, with their columns taken from the tables.

An HTTP change is one statement: the order guarded by its version, and from its RETURNING the history line, the
outbox row and the stored answer. So all of it happens or none, without a transaction block. The key goes last and
plain: a key that is taken raises 23505 and undoes the order.
"""

from itertools import product

from app.database.columns import arrays, columns, unnest
from app.database.statement import Statement
from app.models.models import Order

ORDER = columns(Order.__table__)

ORDER_LIST = ", ".join(ORDER)
CHANGING = [column for column in ORDER if column not in ("order_id", "created_at")]  # a time that we cannot read stays


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
        settings = ", ".join(f"{column} = ${column}" for column in CHANGING)
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


# Writing what many requests write at once


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
    arrays(_WRITTEN),
    f"WITH new AS (SELECT * FROM {unnest(_WRITTEN)}), "
    f"made AS (INSERT INTO orders ({ORDER_LIST}) SELECT {ORDER_LIST} FROM new ORDER BY place), "
    f"{_HISTORY_OF_MANY.format(source='new')} {_EVENTS_OF_MANY.format(source='new')}",
)
# Each order once. Returns the ids of those that were as expected and that nobody else held.
UPDATE_FREE = Statement(
    "update_free",
    arrays(_WRITTEN),
    f"WITH new AS (SELECT * FROM {unnest(_WRITTEN)}), "
    "free AS MATERIALIZED (SELECT o.order_id FROM orders AS o JOIN new ON o.order_id = new.order_id "
    "WHERE o.version = new.version - 1 FOR UPDATE OF o SKIP LOCKED), "
    f"changed AS (UPDATE orders AS o SET {', '.join(f'{it} = new.{it}' for it in CHANGING)} "
    "FROM new JOIN free USING (order_id) WHERE o.order_id = new.order_id AND o.version = new.version - 1 "
    "RETURNING o.order_id), "
    "done AS (SELECT new.* FROM new JOIN changed USING (order_id)), "
    f"{_HISTORY_OF_MANY.format(source='done')}, events AS ({_EVENTS_OF_MANY.format(source='done')}) "
    "SELECT order_id FROM changed",
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
