"""The lease of a lane for an operator: a record is taken out of a lane only while no relay leads the lane."""

from sqlalchemy import Connection, func, select, text
from sqlalchemy.exc import DBAPIError

from app.database.lanes import Lane
from app.models.operator_errors import NotPossible
from app.operations.transaction import within_limits

WAIT_SECONDS = 20  # a relay whose record is refused leads for a few seconds, gives the lease up and tries again
SECONDS = WAIT_SECONDS + 15


def take_lease(connection: Connection, lane: Lane) -> None:
    """Keep every relay from leading the lane until the transaction ends.

    Blocks up to WAIT_SECONDS, less where the operation is hurried. Raises NotPossible if a relay leads all that time: a
    relay that is well never gives its lease up, so no record that it is about to send can be taken away.
    """
    seconds = within_limits(WAIT_SECONDS)
    connection.execute(text(f"SET LOCAL lock_timeout = '{seconds}s'"))
    try:
        connection.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(lane.lock, 0))))
    except DBAPIError as error:
        if getattr(error.orig, "pgcode", None) != "55P03":
            raise
        raise NotPossible(
            f"A relay has led the lane {lane.name} for {seconds} s without a break, so nothing is stuck there. "
            "Look again, or stop the service first."
        ) from None
