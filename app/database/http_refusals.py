"""The table of requests that were refused: what became of them stands nowhere else."""

from collections.abc import Sequence
from dataclasses import astuple

from app.database.arrays import as_columns
from app.database.pool import Pool
from app.database.statement import Statement
from app.models.refusals import RefusedRequests
from app.utils.deadline import Deadline

CALL_SECONDS = 2.5

KEEP_REFUSALS = Statement(
    "keep_http_refusals",
    {
        "path": "text[]",
        "code": "text[]",
        "order_id": "text[]",
        "key": "text[]",
        "correlation_id": "text[]",
        "times": "integer[]",
        "age": "float8[]",
    },
    "INSERT INTO http_refusals (path, code, order_id, key, correlation_id, times, created_at) "
    "SELECT path, code, order_id, key, correlation_id, times, now() - make_interval(secs => age) FROM "
    "unnest($path, $code, $order_id, $key, $correlation_id, $times, $age) "
    "AS refused (path, code, order_id, key, correlation_id, times, age)",
)


class RefusalTable:
    """Writes the rows of one process."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def keep(self, refused: Sequence[RefusedRequests]) -> None:
        """Store them in one statement. Blocks for CALL_SECONDS at the longest; raises DatabaseError."""
        self._pool.run(KEEP_REFUSALS, as_columns(map(astuple, refused)), Deadline(CALL_SECONDS))
