"""The secrets that sign the cookies of the console, the same for all instances.

The newest one signs, and all verify. A copy of the database, such as a backup, lets nobody in a day later.
"""

import secrets

from app.database.pool import Pool
from app.database.statement import Statement
from app.utils.deadline import Deadline

SIGN_HOURS = 12
VERIFY_HOURS = 24
SECRET_BYTES = 32

KEEP_SECRETS = Statement(
    "keep_console_secrets",
    {"secret": "bytea"},
    "WITH gone AS (DELETE FROM console_secrets WHERE made_at < now() - make_interval(hours => "
    f"{VERIFY_HOURS})), made AS (INSERT INTO console_secrets (secret) SELECT $secret WHERE NOT EXISTS "
    f"(SELECT FROM console_secrets WHERE made_at > now() - make_interval(hours => {SIGN_HOURS})) "
    "ON CONFLICT DO NOTHING RETURNING made_at, secret) "
    "SELECT secret FROM (SELECT made_at, secret FROM console_secrets "
    f"WHERE made_at > now() - make_interval(hours => {VERIFY_HOURS}) "
    "UNION ALL SELECT made_at, secret FROM made) AS valid ORDER BY made_at",
)


def keep(pool: Pool, deadline: Deadline) -> list[bytes]:
    """Return the valid secrets, the newest last; make one where the newest is old, and delete those that are over.

    Blocks until `deadline` at the longest. Raises DatabaseError.
    """
    rows = pool.run(KEEP_SECRETS, (secrets.token_bytes(SECRET_BYTES),), deadline)
    return [bytes(secret) for (secret,) in rows]
