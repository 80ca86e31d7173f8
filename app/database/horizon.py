"""The statement that finds what keeps dead rows: sessions, replicas, prepared transactions, slots."""

from app.database.statement import Statement

# Every user sees what another user's session holds, though not its state, kind and begin. VACUUM's own snapshot keeps
# nothing; one of another database keeps nothing of ours.
HORIZON = Statement(
    "horizon",
    {},
    "WITH holders (holder, remedy, xmin, began, idle_since) AS ("
    "SELECT CASE WHEN backend_type = 'walsender' THEN concat('replica ', application_name, ' (process ', pid, ')') "
    "ELSE concat('session ', pid, ' of ', usename, ' (', coalesce(nullif(application_name, ''), 'no name'), "
    "', ' || state, ')') END, "
    "concat('SELECT pg_terminate_backend(', pid, ')'), "
    "CASE WHEN age(backend_xid) > coalesce(age(backend_xmin), -1) THEN backend_xid ELSE backend_xmin END, xact_start, "
    "CASE WHEN state LIKE 'idle in transaction%' THEN state_change END "
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
