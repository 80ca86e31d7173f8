"""The keys of those who may call, as the table has them."""

from collections.abc import Collection

from app.database.pool import Pool, read
from app.database.statement import Statement
from app.models.api_keys import MOST_VALID, ApiKey
from app.models.callers import Caller
from app.utils.deadline import Deadline
from app.wire.key_file import scopes_of

CALL_SECONDS = 2.0

FIND_VALID_KEYS = Statement(
    "find_valid_keys",
    {},
    "SELECT id, hash, name, scopes, extract(epoch FROM expires_at)::float FROM api_keys "
    f"WHERE revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now()) LIMIT {MOST_VALID}",
)
NOTE_USE = Statement(
    "note_use",
    {"ids": "text[]"},
    "UPDATE api_keys SET last_used = date_trunc('hour', now()) WHERE id IN ("
    "SELECT id FROM api_keys WHERE id = ANY ($ids) AND (last_used IS NULL OR last_used < date_trunc('hour', now())) "
    "ORDER BY id FOR UPDATE SKIP LOCKED)",
)


class ApiKeyTable:
    """Both calls block for CALL_SECONDS at the longest, and raise DatabaseError."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def valid(self) -> list[ApiKey]:
        """Return the keys that are neither revoked nor expired."""
        rows = read(self._pool, FIND_VALID_KEYS, (), Deadline(CALL_SECONDS))
        return [
            ApiKey(key_id, bytes(digest), Caller(name, scopes_of(scopes)), expires_at)
            for key_id, digest, name, scopes, expires_at in rows
        ]

    def note_use(self, ids: Collection[str]) -> None:
        """Store that these keys were used in this hour."""
        self._pool.run(NOTE_USE, (sorted(ids),), Deadline(CALL_SECONDS))
