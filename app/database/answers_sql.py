"""The statements of answers under an Idempotency-Key [H15].

A request claims its key with an advisory lock, so a duplicate waits until the first has its answer. The request that
holds the key may wait longer for the order's row than a duplicate waits for the key: the duplicate gives up first and
is answered "key in use".
"""

from operator import attrgetter

from app.database.columns import arrays, unnest
from app.database.statement import Statement

KEY_TYPES = {"path": "text", "key": "text"}
ANSWER_TYPES = {**KEY_TYPES, "body_hash": "bytea", "answer_status": "smallint", "answer": "bytea"}

_PLACE = "hashtextextended($path || ' ' || $key, 0)"
_LOCK = f"pg_advisory_xact_lock({_PLACE})"

CLAIM = f"""
claim AS MATERIALIZED (
    SELECT {_LOCK}, set_config('lock_timeout', '0', true)
)"""
"""The expression that takes the key: what is selected from it runs after."""


def storing(source: str) -> str:
    """Return the INSERT that stores the answer once for each row of the source. A key with an answer raises 23505."""
    return f"""
    INSERT INTO idempotency_keys (path, key, body_hash, status, body)
    SELECT $path, $key, $body_hash, $answer_status, $answer FROM {source}"""


FIND_ANSWER = Statement(
    "find_answer",
    KEY_TYPES,
    "SELECT body_hash, status, body FROM idempotency_keys WHERE path = $path AND key = $key",
)
FIND_ANSWERS = Statement(
    "find_answers",
    arrays(KEY_TYPES),
    "SELECT k.path, k.key, k.body_hash, k.status, k.body FROM "
    f"{unnest(KEY_TYPES)} JOIN idempotency_keys AS k ON k.path = n.path AND k.key = n.key",
)
key_values = attrgetter(*KEY_TYPES)
"""Takes the values of KEY_TYPES from an IdempotencyKey."""
KEEP_ANSWER = Statement("keep_answer", ANSWER_TYPES, f"WITH {CLAIM} {storing('claim')}")
CLAIM_KEY = Statement("claim_key", KEY_TYPES, f"SELECT {_LOCK}")
TRY_CLAIM_KEY = Statement("try_claim_key", KEY_TYPES, f"SELECT pg_try_advisory_xact_lock({_PLACE})")
