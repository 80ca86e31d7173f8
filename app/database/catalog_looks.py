"""What PostgreSQL's catalogs and statistics tell of trouble: plain SQL for the page of sentences.

Every user may ask all of it. Of other users' sessions some columns are null without the role pg_read_all_stats. What
mends a finding is written by the server, which knows how to quote names.
"""

from app.database.floor import ABOVE_DELTA_FLOOR

SESSION = (
    "concat('session ', pid, ' of ', usename, ' (', coalesce(nullif(application_name, ''), 'no name'), "
    "', ' || state, ')')"
)
"""One session in words: a row of pg_stat_activity. Its query is left out, because it may hold data about persons."""
TERMINATE = "concat('SELECT pg_terminate_backend(', pid, ')')"

LIMITS = "SET LOCAL lock_timeout = '300ms'; SET LOCAL statement_timeout = '1500ms'"
"""No look waits for a table that somebody holds."""

WRITES = """
SELECT current_database() AS name, current_setting('server_version') AS version, pg_is_in_recovery() AS standby,
    current_setting('default_transaction_read_only') = 'on' AS read_only,
    concat('SET default_transaction_read_only = off; ALTER ',
        CASE source WHEN 'user' THEN 'ROLE ' || quote_ident(current_user)
        WHEN 'database' THEN 'DATABASE ' || quote_ident(current_database()) ELSE 'SYSTEM' END,
        ' SET default_transaction_read_only = off',
        CASE WHEN source NOT IN ('user', 'database') THEN '; SELECT pg_reload_conf()' END) AS mend
FROM pg_settings WHERE name = 'default_transaction_read_only'"""

RIGHTS = """
SELECT current_user AS name, pg_has_role(current_user, 'pg_read_all_stats', 'USAGE') AS sees_all,
    concat('GRANT pg_read_all_stats TO ', quote_ident(current_user)) AS mend"""

# Who blocks and is not blocked itself: the root of each line. The process 0 is a prepared transaction.
BLOCKERS = f"""
WITH waiting AS (
    SELECT pid, unnest(pg_blocking_pids(pid)) AS blocker,
        extract(epoch FROM clock_timestamp() - waitstart)::float AS seconds
    FROM pg_locks WHERE NOT granted
        AND pid IN (SELECT pid FROM pg_stat_activity WHERE datname = current_database())
),
roots AS (
    SELECT blocker, count(DISTINCT pid) AS blocked, coalesce(max(seconds), 0) AS seconds FROM waiting
    WHERE blocker NOT IN (SELECT pid FROM waiting) GROUP BY blocker
)
SELECT CASE WHEN blocker = 0 THEN 'a prepared transaction' ELSE {SESSION} END AS holder,
    CASE WHEN blocker = 0 THEN 'SELECT gid, prepared, owner FROM pg_prepared_xacts ORDER BY prepared'
        ELSE concat('SELECT pg_terminate_backend(', blocker, ')') END AS mend,
    blocked, seconds, extract(epoch FROM clock_timestamp() - xact_start)::float AS held
FROM roots LEFT JOIN pg_stat_activity ON pid = blocker ORDER BY blocked DESC, blocker LIMIT 20"""

VACUUM = """
SELECT counted.relname AS name, n_live_tup AS live, n_dead_tup AS dead,
    (coalesce(chosen.threshold, current_setting('autovacuum_vacuum_threshold')::float)
        + coalesce(chosen.scale, current_setting('autovacuum_vacuum_scale_factor')::float)
        * greatest(reltuples, 0))::bigint AS threshold,
    current_setting('autovacuum') = 'on' AND coalesce(chosen.enabled, true) AS automatic,
    extract(epoch FROM clock_timestamp() - greatest(last_autovacuum, last_vacuum))::float AS seconds,
    relid IN (SELECT relid FROM pg_stat_progress_vacuum) AS running,
    concat('VACUUM (ANALYZE) ', relid::regclass) AS mend,
    CASE WHEN chosen.enabled IS FALSE THEN concat('ALTER TABLE ', relid::regclass, ' RESET (autovacuum_enabled)')
        ELSE 'ALTER SYSTEM SET autovacuum = on; SELECT pg_reload_conf()' END AS switch_on
FROM pg_stat_user_tables AS counted JOIN pg_class ON pg_class.oid = relid, LATERAL (
    SELECT max(option_value) FILTER (WHERE option_name = 'autovacuum_vacuum_threshold')::float AS threshold,
        max(option_value) FILTER (WHERE option_name = 'autovacuum_vacuum_scale_factor')::float AS scale,
        bool_and(option_value::boolean) FILTER (WHERE option_name = 'autovacuum_enabled') AS enabled
    FROM pg_options_to_table(reloptions)
) AS chosen
WHERE counted.relname = ANY (:tables) AND pg_table_is_visible(relid) ORDER BY dead DESC"""

DELTAS = f"""
SELECT count(*) AS waiting FROM (
    SELECT FROM order_count_deltas WHERE {ABOVE_DELTA_FLOOR} ORDER BY id LIMIT :most) AS few"""

SLOTS = """
SELECT slot_name AS name, active, wal_status AS status, coalesce(retained, 0)::bigint AS retained,
    pg_size_pretty(coalesce(retained, 0)) AS size,
    concat('SELECT pg_drop_replication_slot(', quote_literal(slot_name), ')') AS mend
FROM pg_replication_slots, LATERAL (SELECT pg_wal_lsn_diff(CASE WHEN pg_is_in_recovery()
    THEN pg_last_wal_receive_lsn() ELSE pg_current_wal_lsn() END, restart_lsn) AS retained) AS lag
ORDER BY retained DESC, slot_name LIMIT 20"""

CONNECTIONS = """
SELECT coalesce(nullif(application_name, ''), 'no name') AS name, count(*) AS used,
    count(*) FILTER (WHERE usename = current_user) AS ours,
    current_setting('max_connections')::integer - current_setting('superuser_reserved_connections')::integer AS most,
    (SELECT rolconnlimit FROM pg_roles WHERE rolname = current_user) AS most_of_user
FROM pg_stat_activity WHERE usesysid IS NOT NULL GROUP BY 1 ORDER BY used DESC, name"""

LONG_TRANSACTIONS = f"""
SELECT {SESSION} AS holder, {TERMINATE} AS mend, extract(epoch FROM clock_timestamp() - xact_start)::float AS seconds
FROM pg_stat_activity
WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()
    AND xact_start < clock_timestamp() - make_interval(secs => :seconds) ORDER BY xact_start LIMIT 20"""

SIZES = """
SELECT relname AS name, pg_total_relation_size(oid) AS bytes, pg_size_pretty(pg_total_relation_size(oid)) AS size
FROM pg_class WHERE relkind = 'r' AND relname = ANY (:tables) AND pg_table_is_visible(oid) ORDER BY bytes DESC"""

AGE = """
SELECT greatest(age(datfrozenxid), mxid_age(datminmxid)) AS age, current_setting('autovacuum_freeze_max_age')::bigint
    AS most, oldest.name, concat('VACUUM (FREEZE) ', oldest.name) AS mend
FROM pg_database, LATERAL (SELECT oid::regclass::text AS name FROM pg_class WHERE relkind IN ('r', 'm')
    ORDER BY age(relfrozenxid) DESC LIMIT 1) AS oldest
WHERE datname = current_database()"""

DAMAGE = """
SELECT current_setting('data_checksums') = 'on' AS checked, coalesce(sum(checksum_failures), 0)::bigint AS failures,
    max(checksum_last_failure) AS last,
    'SELECT datname, checksum_failures, checksum_last_failure FROM pg_stat_database WHERE checksum_failures > 0' AS mend
FROM pg_stat_database"""
