"""Whether two addresses lead to the same tables: a lock that is taken through one must be held for the other.

A value stored in the database would be in a copy of the database too.
"""

import secrets

from app.database.pool import Pool
from app.database.statement import Statement
from app.models.errors import DatabaseAway
from app.utils.deadline import Deadline

SECONDS = 5.0

_HOLD = Statement(
    "hold_place",
    {"place": "bigint"},
    "SELECT pg_is_in_recovery(), pg_try_advisory_xact_lock($place), to_regclass('orders')::oid::bigint, "
    "current_database()::text, current_schema()::text",
)


class AnotherDatabase(Exception):
    """The addresses lead to different tables; the sentence says to which."""


def require_same(workers: Pool, callers: Pool) -> None:
    """Return if both pools meet the same database and the same table of orders, or none yet.

    Blocks for SECONDS at the longest. Raises AnotherDatabase, and DatabaseError where it cannot be known now.
    """
    deadline, place = Deadline(SECONDS), secrets.randbits(63)
    with workers.transaction(deadline) as session:
        ((_, _, orders, *names),) = session.execute(_HOLD, (place,))
        ((standby, free, found, *found_names),) = callers.run(_HOLD, (place,), deadline)
        if standby:
            raise DatabaseAway("DATABASE_URL leads to a standby")
        if free or found != orders:
            raise AnotherDatabase(
                f"DATABASE_URL leads to other tables (database {found_names[0]}, schema {found_names[1]}) "
                f"than WORKER_DATABASE_URL (database {names[0]}, schema {names[1]})"
                + (", on another server" * (found_names == names))
            )
