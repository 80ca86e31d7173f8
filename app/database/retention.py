"""The statements that keep the tables small: they fold counts, and delete what nobody asks for any more.

Each takes a bounded number of rows and waits for no lock of a caller: writing an order never touches `order_counts`.
"""

from app.database import pages_sql
from app.database.floor import ABOVE_DELTA_FLOOR
from app.database.statement import Statement

PLACE_SECONDS = 120  # ten million orders take some seconds; no process folds meanwhile

# In one transaction with the work: two processes that fold at once would wait for each other.
ONE_AT_A_TIME = Statement("one_at_a_time", {}, "SELECT pg_try_advisory_xact_lock(hashtextextended('housekeeping', 0))")
FOLD_COUNTS = Statement(
    "fold_counts",
    {"limit": "bigint"},
    "WITH taken AS (DELETE FROM order_count_deltas WHERE ctid = ANY (ARRAY("
    f"SELECT ctid FROM order_count_deltas WHERE {ABOVE_DELTA_FLOOR} ORDER BY id LIMIT $limit)) RETURNING *), "
    "folded AS (INSERT INTO order_counts AS known (kind, value, orders) SELECT kinds.kind, kinds.value, sum(sign) "
    "FROM taken, kinds_of_order(order_status, cust_id, runner_id, created_at) AS kinds "
    "GROUP BY kinds.kind, kinds.value HAVING sum(sign) <> 0 "
    "ON CONFLICT (kind, value) DO UPDATE SET orders = known.orders + excluded.orders) "
    "SELECT count(*) FROM taken",
)

# The minutes of each status (pages_sql.py), once, where migration 0016 left the counting to us. The deltas since then
# are folded into them already, so everything is counted anew and marked as complete. Nothing is folded meanwhile, and
# deltas that are not folded yet are taken off.
ARE_PLACED = Statement("are_placed", {}, f"SELECT 1 WHERE {pages_sql.ARE_PLACED}")
LONG = Statement("long", {}, f"SELECT set_config('statement_timeout', '{PLACE_SECONDS}s', true)")
FORGET_PLACES = Statement(
    "forget_places", {}, "DELETE FROM order_counts WHERE kind IN ('sday', 'shour', 'sminute') RETURNING 1"
)
PLACE_STATUSES = Statement(
    "place_statuses",
    {},
    "INSERT INTO order_counts (kind, value, orders) "
    "WITH minutes AS ("
    "SELECT order_status, to_char(minute, 'YYYY-MM-DD HH24:MI') AS minute, sum(orders) AS orders FROM ("
    "SELECT order_status, date_trunc('minute', created_at) AS minute, count(*) AS orders FROM orders GROUP BY 1, 2 "
    "UNION ALL SELECT order_status, date_trunc('minute', created_at), -sum(sign) FROM order_count_deltas "
    f"WHERE {ABOVE_DELTA_FLOOR} GROUP BY 1, 2) AS counted "
    "WHERE isfinite(minute) AND order_status IS NOT NULL GROUP BY 1, 2 HAVING sum(orders) <> 0) "
    "SELECT kind, order_status || ' ' || left(minute, length(minute) - less), sum(orders) "
    "FROM minutes, (VALUES ('sday', 6), ('shour', 3), ('sminute', 0)) AS kinds (kind, less) GROUP BY 1, 2 "
    "RETURNING 1",
)
MARK_STATUSES = Statement("mark_statuses", {}, "INSERT INTO order_count_marks (mark) VALUES ('statuses')")

# What keeps dead rows: sessions, replicas, prepared transactions, slots.
# Every user sees what another user's session holds, though not its state, kind and begin. VACUUM's own snapshot keeps
# nothing; one of another database keeps nothing of ours. pg_dump is not idle: with -j one session waits for the others.
HORIZON = Statement(
    "horizon",
    {},
    "WITH holders (holder, remedy, xmin, began, idle_since) AS ("
    "SELECT CASE WHEN backend_type = 'walsender' THEN concat('replica ', application_name, ' (process ', pid, ')') "
    "ELSE concat('session ', pid, ' of ', usename, ' (', coalesce(nullif(application_name, ''), 'no name'), "
    "', ' || state, ')') END, "
    "concat('SELECT pg_terminate_backend(', pid, ')'), "
    "CASE WHEN age(backend_xid) > coalesce(age(backend_xmin), -1) THEN backend_xid ELSE backend_xmin END, xact_start, "
    "CASE WHEN state LIKE 'idle in transaction%' AND application_name <> 'pg_dump' THEN state_change END "
    "FROM pg_stat_activity WHERE (datname = current_database() OR datname IS NULL) "
    "AND pid <> pg_backend_pid() AND backend_type IS DISTINCT FROM 'autovacuum worker' "
    # Of others' sessions not everybody is told the kind: those of the system have no user, and VACUUM shows its work.
    "AND (usesysid IS NOT NULL OR backend_type IS NOT NULL) AND pid NOT IN (SELECT pid FROM pg_stat_progress_vacuum) "
    "UNION ALL SELECT concat('prepared transaction ', gid, ' of ', owner), "
    "concat('ROLLBACK PREPARED ', quote_literal(gid)), transaction, prepared, NULL "
    "FROM pg_prepared_xacts WHERE database = current_database() "
    "UNION ALL SELECT concat('replication slot ', slot_name), "
    "concat('SELECT pg_drop_replication_slot(', quote_literal(slot_name), ')'), xmin, NULL, NULL "
    "FROM pg_replication_slots) "
    "SELECT holder, remedy, xmin::text, to_char(began AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS'), "
    "extract(epoch FROM clock_timestamp() - began)::float, "
    "coalesce(extract(epoch FROM clock_timestamp() - idle_since), 0)::float, age(xmin), "
    "(SELECT coalesce(sum(n_dead_tup), 0)::bigint FROM pg_stat_user_tables "
    "WHERE relid IN ('outbox'::regclass, 'order_count_deltas'::regclass)) "
    "FROM holders WHERE xmin IS NOT NULL ORDER BY age(xmin) DESC, began LIMIT 20",
)


def _prune(table: str, time: str) -> Statement:
    return Statement(
        f"prune_{table}",
        {"seconds": "bigint", "limit": "bigint"},
        f"WITH gone AS (DELETE FROM {table} WHERE ctid = ANY (ARRAY(SELECT ctid FROM {table} "
        f"WHERE {time} < now() - make_interval(secs => $seconds) ORDER BY {time} LIMIT $limit "
        "FOR UPDATE SKIP LOCKED)) RETURNING 1) SELECT count(*) FROM gone",
    )


def _prune_by_id(table: str, condition: str) -> Statement:
    """Prune in the order of ids, which have an index and are in about the order of times."""
    return Statement(
        f"prune_{table}",
        {"seconds": "bigint", "limit": "bigint"},
        f"WITH gone AS (DELETE FROM {table} WHERE id = ANY (ARRAY(SELECT id FROM ("
        f"SELECT id, created_at FROM {table} WHERE {condition} "
        "ORDER BY id LIMIT $limit FOR UPDATE SKIP LOCKED) AS oldest "
        "WHERE created_at < now() - make_interval(secs => $seconds))) RETURNING 1) SELECT count(*) FROM gone",
    )


# An order of a table that was taken over may lack the time of creation, by which lists are sorted. The first of its
# other times is the nearest that is known; without any, the order was there by now. Locked rows have their turn later.
_FIRST_TIME = "least(updated_at, accepted_at, placed_at, picked_up_at, delivered_at, completed_at, cancelled_at)"
GIVE_TIMES = Statement(
    "give_times",
    {"limit": "bigint"},
    f"WITH given AS (UPDATE orders SET created_at = coalesce(CASE WHEN isfinite({_FIRST_TIME}) THEN {_FIRST_TIME} END, "
    "now() AT TIME ZONE 'UTC') WHERE order_id = ANY (ARRAY(SELECT order_id FROM orders WHERE created_at IS NULL "
    "LIMIT $limit FOR UPDATE SKIP LOCKED)) RETURNING 1) SELECT count(*) FROM given",
)

PRUNE = {
    "idempotency_keys": _prune("idempotency_keys", "created_at"),
    "command_identities": _prune("command_identities", "created_at"),
    "refused_accepts": _prune("refused_accepts", "refused_at"),
    "given_up_commands": _prune_by_id("given_up_commands", "true"),
    "http_refusals": _prune_by_id("http_refusals", "true"),
    "known_events": _prune("known_events", "noted_at"),
    "flow_minutes": _prune("flow_minutes", "minute"),
    "jobs": _prune_by_id("jobs", "ended_at IS NOT NULL"),
    "dead_letters": _prune_by_id("dead_letters", "sent_at IS NOT NULL OR refusal IS NOT NULL"),
}
