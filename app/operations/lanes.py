"""Taking a record out of a lane of the relay: only while no relay leads it, as is so where a record is stuck."""

from sqlalchemy import Connection, func, select, text
from sqlalchemy.exc import DBAPIError

from app.database.lanes import Lane
from app.models.operator_errors import NotPossible

LEAD_SECONDS = 20  # a relay that is refused leads for a few seconds, then gives up and tries again
SECONDS = LEAD_SECONDS + 15


def hold_lead(connection: Connection, lane: Lane) -> None:
    """Keep every relay from leading until the transaction ends. Blocks up to LEAD_SECONDS; raises NotPossible.

    A relay that is well never gives its lead up, so what it is about to send cannot be taken from under it.
    """
    connection.execute(text(f"SET LOCAL lock_timeout = '{LEAD_SECONDS}s'"))
    try:
        connection.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(lane.lock, 0))))
    except DBAPIError as error:
        if getattr(error.orig, "pgcode", None) != "55P03":
            raise
        raise NotPossible(
            f"A relay has led the lane {lane.name} for {LEAD_SECONDS} s without a break, so nothing is stuck there. "
            "Look again, or stop the service first."
        ) from None
