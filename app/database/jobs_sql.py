"""The statements by which a process takes a job, keeps it and ends it. Times are the database's.

`held_until` is the lease of the process that holds the job. Without a holder it is the time until which the job rests.
"""

from app.database.statement import Statement

_OPEN = "ended_at IS NULL"
_OURS = f"id = $id AND holder = $holder AND {_OPEN}"
_LEASE = "now() + make_interval(secs => $seconds)"

TAKE = Statement(
    "take_job",
    {"holder": "text", "seconds": "float8", "kinds": "text[]", "version": "text"},
    f"WITH next AS (SELECT id FROM jobs WHERE {_OPEN} AND kind = ANY ($kinds) "
    "AND (held_until IS NULL OR held_until < now()) ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED) "
    f"UPDATE jobs SET state = 'running', holder = $holder, held_until = {_LEASE}, version = $version, "
    "started_at = coalesce(started_at, now()), attempts = attempts + (holder IS NOT NULL)::int "
    "FROM next WHERE jobs.id = next.id "
    "RETURNING jobs.id, kind, who, reason, input, attempts, stopped_by, deadline_at < now()",
)
ITEMS = Statement(
    "items_of_job",
    {"id": "bigint"},
    "SELECT number, subject FROM job_items WHERE job_id = $id AND state = 'waiting' ORDER BY number",
)
RENEW = Statement(
    "renew_job",
    {"id": "bigint", "holder": "text", "seconds": "float8"},
    f"UPDATE jobs SET held_until = {_LEASE} WHERE {_OURS} RETURNING stopped_by, deadline_at < now()",
)
FAIL_ITEM = Statement(
    "fail_job_item",
    {"id": "bigint", "number": "int", "result": "text"},
    "UPDATE job_items SET state = 'failed', result = $result, done_at = now() "
    "WHERE job_id = $id AND number = $number AND state = 'waiting'",
)
COUNT = Statement(
    "count_job_items",
    {"id": "bigint"},
    "SELECT count(*), count(*) FILTER (WHERE state = 'done'), count(*) FILTER (WHERE state = 'failed'), "
    "(array_agg(result ORDER BY number) FILTER (WHERE state = 'failed'))[1], "
    "(array_agg(result ORDER BY number))[1] FROM job_items WHERE job_id = $id",
)
REST = Statement(
    "rest_job",
    {"id": "bigint", "holder": "text", "seconds": "float8", "trouble": "text"},
    f"UPDATE jobs SET holder = NULL, held_until = {_LEASE}, trouble = $trouble WHERE {_OURS}",
)
END = Statement(
    "end_job",
    {"id": "bigint", "holder": "text", "state": "text", "outcome": "text"},
    "UPDATE jobs SET state = $state, outcome = $outcome, trouble = NULL, ended_at = now(), holder = NULL, "
    f"held_until = NULL WHERE {_OURS}",
)
START_ONCE = Statement(
    "start_job_once",
    {
        "kind": "text",
        "who": "text",
        "reason": "text",
        "input": "text",
        "once": "text",
        "seconds": "float8",
        "subject": "text",
    },
    "WITH made AS (INSERT INTO jobs (kind, who, reason, input, once, deadline_at) "
    f"VALUES ($kind, $who, $reason, $input, $once, {_LEASE}) ON CONFLICT (once) DO NOTHING RETURNING id) "
    "INSERT INTO job_items (job_id, number, subject) SELECT id, 0, $subject FROM made RETURNING job_id",
)
LAST_CHECK = Statement(
    "last_check",
    {},
    "SELECT id, result, ended_at, extract(epoch FROM now() - ended_at)::float8 FROM jobs "
    "WHERE kind = 'check' AND state = 'done' ORDER BY id DESC LIMIT 1",
)
