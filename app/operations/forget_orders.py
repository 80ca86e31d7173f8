"""A person is taken out of orders and counts: as changes of the service's own, a portion a statement.

A portion takes only orders that nobody holds and that are as they were read; the others have their turn in the next
one. So nobody waits for it longer than for another caller's change.
"""

import time
import uuid
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime

from app.config.config import Settings
from app.database import forgetting as sql
from app.database.arrays import as_columns
from app.database.database import Database
from app.database.orders import changed_row
from app.database.orders_sql import UPDATE_FREE
from app.database.pool import Pool
from app.database.retention import FOLD_COUNTS, ONE_AT_A_TIME
from app.database.rows import to_state
from app.models.errors import DatabaseError
from app.models.forgetting import EVERY, OVER, Person, forget
from app.models.operator_errors import DatabaseUnusable, NotPossible
from app.models.order import OrderState, OrderStatus
from app.models.writes import ChangeSource, HttpAnswer, OrderWrite
from app.utils.deadline import Deadline
from app.utils.ids import new_id
from app.wire.events import http_event

PORTION = 100
BREATH_SECONDS = 0.05  # between two portions, for the callers' writes
STEP_SECONDS = 10.0
STUCK_SECONDS = 30.0  # without a portion that took anything
FOLD_LIMIT = 20_000
DOOR = "operator"


@contextmanager
def database(settings: Settings) -> Iterator[Pool]:
    """Lend a connection. Raises DatabaseUnusable for what the body's statements raise."""
    server = Database(settings.worker_url)
    try:
        yield Pool(server, 1, int(STEP_SECONDS * 1000))
    except DatabaseError as error:
        raise DatabaseUnusable(f"{error.reason}. What was done stays done: run the command again.") from None
    finally:
        server.drop_idle()


def find(pool: Pool, person: Person, statuses: Collection[OrderStatus], limit: int) -> list[OrderState]:
    """Return orders of the person in some statuses, the oldest first."""
    values = (person.id, [status.value for status in statuses], limit)
    return [to_state(row) for row in pool.run(sql.ORDERS_OF[person.role], values, _deadline())]


def require_over(pool: Pool, person: Person) -> None:
    """Raise NotPossible if an order is still under way."""
    under_way = find(pool, person, EVERY - OVER, 3)
    if under_way:
        named = ", ".join(f"{order.order_id} ({order.order_status})" for order in under_way)
        raise NotPossible(f"Orders are still under way, such as {named}: end them first, or see --open-too.")


def take_out(pool: Pool, person: Person, operator: str, statuses: Collection[OrderStatus]) -> int:
    """Take the person out of their orders in some statuses; return how many. Commits a portion at a time.

    Raises NotPossible if others hold what is left for STUCK_SECONDS.
    """
    total, stuck = 0, Deadline(STUCK_SECONDS)
    while orders := find(pool, person, statuses, PORTION):
        done = _change(pool, person, orders, operator)
        total += done
        if done:
            stuck = Deadline(STUCK_SECONDS)
        elif stuck.passed:
            raise NotPossible(f"Others hold order {orders[0].order_id}: run it again. {total} orders are done.")
        time.sleep(BREATH_SECONDS)
    return total


def drop_count(pool: Pool, person: Person, seconds: float) -> bool:
    """Delete the person's count once all that counts into it is folded; tell whether it is gone.

    It is not if orders are left. Folds itself what is there, in case no worker runs.
    """
    deadline, counted = Deadline(seconds), (person.role.value, person.id)
    while waits := pool.run(sql.DELTAS_OF[person.role], (person.id,), _deadline()):
        if deadline.passed:
            break
        with pool.transaction(_deadline()) as session:
            if session.execute(ONE_AT_A_TIME)[0][0]:
                session.execute(FOLD_COUNTS, (FOLD_LIMIT,))
        time.sleep(BREATH_SECONDS)
    pool.run(sql.DROP_COUNT, counted, _deadline())
    return not waits and not pool.run(sql.HAS_COUNT, counted, _deadline())


def _change(pool: Pool, person: Person, orders: Sequence[OrderState], operator: str) -> int:
    now = datetime.now(UTC)
    writes = [_write(order, person, operator, now, new_id()) for order in orders]
    return len(pool.run(UPDATE_FREE, as_columns(map(changed_row, writes)), _deadline()))


def _write(order: OrderState, person: Person, operator: str, now: datetime, change_id: uuid.UUID) -> OrderWrite:
    change = forget(order, person, now)
    # An id of its own for each: there are readers that take two events of one type under one id for one [H16].
    source = ChangeSource(DOOR, str(change_id), operator)
    event = http_event(change, change_id, source.correlation_id)
    return OrderWrite(change, change_id, source, event, None, HttpAnswer(200, b""))


def _deadline() -> Deadline:
    return Deadline(STEP_SECONDS)
