"""The lock under which a migration changes a table that the running version writes."""

import time

from sqlalchemy import Connection, func, select, text
from sqlalchemy.exc import DBAPIError

TRIES = 5
WAIT_MS = 1200  # over deadlock_timeout, so that an autovacuum gives way
PAUSE_SECONDS = 1.0
NOT_NOW = ("55P03", "40P01")


def take_lock(connection: Connection, statement: str) -> None:
    """Run a LOCK TABLE for the rest of the transaction, or raise DBAPIError after the last try.

    Whoever waits for the lock makes all others wait, so each try waits for WAIT_MS. Takes no lock between two tries.
    """
    for tried in range(1, TRIES + 1):
        try:
            with connection.begin_nested():
                connection.execute(select(func.set_config("lock_timeout", str(WAIT_MS), True)))
                connection.execute(text(statement))
            return
        except DBAPIError as error:
            if tried == TRIES or getattr(error.orig, "pgcode", None) not in NOT_NOW:
                raise
        time.sleep(PAUSE_SECONDS)
