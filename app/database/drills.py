"""A drill is taken by one process: the alarm by which it is asked for says by which."""

from app.database.pool import Pool
from app.database.statement import Statement
from app.models.drills import DRILL, HOLDER
from app.utils.deadline import Deadline

CALL_SECONDS = 2.5

TAKE = Statement(
    "take_drill",
    {"asked": "text", "taken": "text"},
    "UPDATE alarms SET evidence = $taken "
    f"WHERE name = '{DRILL}' AND holder = '{HOLDER}' AND ended_at IS NULL AND evidence = $asked RETURNING 1",
)


def take_drill(pool: Pool, asked: str, taken: str) -> bool:
    """Tell whether this process has taken the drill, and no other one had before. Raises DatabaseError."""
    return bool(pool.run(TAKE, (asked, taken), Deadline(CALL_SECONDS)))
