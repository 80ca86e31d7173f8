"""What `why` asks of PostgreSQL's catalogs: who holds locks on our tables and rows, who holds a key, who leads a lane.

Every user may ask all of it; state and begin of other users' sessions are null without pg_read_all_stats.
"""

from app.database.catalog_looks import SESSION, TERMINATE

_HERE = "(SELECT oid FROM pg_database WHERE datname = current_database())"
_HELD = "extract(epoch FROM clock_timestamp() - xact_start)::float AS held"
_QUERY = "to_char(query_start AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS') AS query_start"
_HOLDER = f"coalesce({SESSION}, 'a prepared transaction') AS holder"

STATE = """
SELECT clock_timestamp() AS now, CASE WHEN pg_is_in_recovery() THEN 'it is a hot standby'
    WHEN current_setting('default_transaction_read_only') = 'on' THEN 'default_transaction_read_only is on' END
    AS trouble"""

# Modes that keep rows from being written. VACUUM's own does not.
TABLE_LOCKS = f"""
SELECT relname AS name, mode, pid, concat('session ', pid, ' of ', usename, ' (',
        coalesce(nullif(application_name, ''), 'no name'), ', ' || state, ')') AS holder, {TERMINATE} AS mend,
    {_HELD}, {_QUERY},
    (SELECT count(*) FROM pg_locks AS behind WHERE behind.relation = held.relation AND NOT behind.granted) AS behind
FROM pg_locks AS held JOIN pg_class ON pg_class.oid = held.relation LEFT JOIN pg_stat_activity USING (pid)
WHERE locktype = 'relation' AND granted AND held.database = {_HERE} AND pid <> pg_backend_pid()
    AND mode IN ('ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')
    AND relname IN ('orders', 'order_changes', 'outbox', 'idempotency_keys', 'command_identities', 'consumer_offsets',
        'saga_orders', 'dead_letters', 'order_count_deltas', 'refused_accepts')
    AND pg_table_is_visible(held.relation)
ORDER BY held DESC NULLS LAST LIMIT 10"""

# A row that is locked or being changed names the transaction in its xmax; each transaction holds a lock on its own id.
ROW_LOCKS = f"""
SELECT order_id AS name, pid, CASE WHEN pid IS NULL THEN concat('prepared transaction ', gid) ELSE {SESSION} END
    AS holder, CASE WHEN pid IS NULL THEN concat('ROLLBACK PREPARED ', quote_literal(gid)) ELSE {TERMINATE} END AS mend,
    coalesce(extract(epoch FROM clock_timestamp() - coalesce(xact_start, prepared)))::float AS held, {_QUERY},
    (SELECT count(*) FROM pg_locks AS behind WHERE NOT behind.granted AND held.pid = ANY (pg_blocking_pids(behind.pid)))
    AS behind
FROM orders JOIN pg_locks AS held ON locktype = 'transactionid' AND granted AND transactionid = orders.xmax
LEFT JOIN pg_stat_activity USING (pid) LEFT JOIN pg_prepared_xacts ON transaction = orders.xmax
WHERE order_id = ANY (:ids) LIMIT 10"""

# The lock of a key (answers_sql.py). Who holds it answers the first request; the others wait, and are answered 409.
KEY_HOLDERS = f"""
SELECT path, pid, {SESSION} AS holder, {TERMINATE} AS mend, {_HELD}, {_QUERY},
    (SELECT concat('session ', by.pid, ' of ', by.usename, ' (', coalesce(nullif(by.application_name, ''), 'no name'),
        ', ' || by.state, ')') FROM pg_stat_activity AS by WHERE by.pid = ANY (pg_blocking_pids(held.pid)) LIMIT 1)
    AS blocked_by,
    (SELECT concat('SELECT pg_terminate_backend(', blocking, ')') FROM unnest(pg_blocking_pids(held.pid)) AS blocking
        LIMIT 1) AS unblock
FROM unnest(CAST(:paths AS text[])) AS path, LATERAL (SELECT hashtextextended(path || ' ' || :key, 0) AS hash) AS hashed
JOIN pg_locks AS held ON locktype = 'advisory' AND granted AND objsubid = 1
    AND classid::bigint = (hash >> 32) & 4294967295 AND objid::bigint = hash & 4294967295 AND held.database = {_HERE}
JOIN pg_stat_activity USING (pid) LIMIT 10"""

LEADERS = f"""
SELECT lane, {SESSION} AS holder, extract(epoch FROM clock_timestamp() - backend_start)::float AS seconds
FROM unnest(ARRAY['events', 'dead_letters']) AS lane,
LATERAL (SELECT hashtextextended('relay:' || lane, 0) AS hash) AS hashed
JOIN pg_locks AS held ON locktype = 'advisory' AND granted AND objsubid = 1
    AND classid::bigint = (hash >> 32) & 4294967295 AND objid::bigint = hash & 4294967295 AND held.database = {_HERE}
JOIN pg_stat_activity USING (pid)"""

BEFORE = "SELECT count(*) AS before FROM (SELECT FROM outbox WHERE id < :id ORDER BY id LIMIT 10000) AS few"
