"""Canaries of a drill: an order that a command makes and another one cancels, a command that comes twice, and one that
nobody can read. Orders of canaries have the customer CUSTOMER, and end as cancelled."""

import time
from dataclasses import dataclass

from sqlalchemy import select

from app.config.config import Settings
from app.kafka import log_search
from app.models.kafka_tables import command_identities, dead_letters
from app.models.models import Order, order_changes
from app.models.operator_errors import NotPossible
from app.operations.audit import Operator
from app.operations.dead_letters import discard
from app.operations.send_command import send_command, send_raw
from app.operations.transaction import transaction
from app.utils.deadline import Deadline
from app.wire.encoder import encode

CUSTOMER = "drill-canary"
REPLY_SECONDS = 20.0
PAUSE_SECONDS = 0.1
_PAYLOAD = {
    "customer_id": CUSTOMER,
    "order_details": {
        "foodItems": [{"name": "Canary", "price": 1, "quantity": 1}],
        "deliveryLocation": "nowhere",
        "deliveryFee": 0,
    },
}


@dataclass(frozen=True, slots=True)
class Canary:
    """The order that went through, and after how many seconds the reply to its creation was on the topic."""

    order_id: str
    seconds: float


def send_canary(operator: Operator, line: int) -> Canary:
    """Make an order by a command, wait for its reply on the topic, and cancel it the same way.

    `line`: the audit line of the drill, which the ids have. Blocks for 2 * REPLY_SECONDS at the longest. Raises
    NotPossible if a reply does not come, or if the order is not as it should be.
    """
    saga, settings = f"drill-{line}", operator.settings
    began = time.monotonic()
    _ask(operator, "create_order", _PAYLOAD | {"saga_id": saga}, saga)
    seconds = time.monotonic() - began
    order_id = _order_of(settings, saga)
    _cancel(operator, order_id, f"{saga}-end")
    return Canary(order_id, seconds)


def send_twice(operator: Operator, line: int) -> str:
    """Send a create twice, byte by byte the same, and cancel its order. Return what came of it; raises NotPossible."""
    saga, settings = f"drill-{line}-twice", operator.settings
    envelope = {"type": "create_order", "correlation_id": saga, "payload": _PAYLOAD | {"saga_id": saga}}
    data, ends = encode(envelope), log_search.ends(settings, settings.events_topic, REPLY_SECONDS)
    for _ in range(2):
        send_raw(operator, data, key=saga)
    _await_replies(settings, ends, saga, 1)
    deadline = Deadline(REPLY_SECONDS)
    while not _repeats(settings, saga):
        if deadline.passed:
            raise NotPossible(f"The repeat of the command {saga} was not seen within {REPLY_SECONDS:g} s.")
        time.sleep(PAUSE_SECONDS)
    order_id = _order_of(settings, saga)
    _cancel(operator, order_id, f"{saga}-end")
    return f"a command that came twice made one order, {order_id}"


def send_unreadable(operator: Operator, line: int) -> str:
    """Send a record that is no command, see it on the dead letter topic, and discard it. Return what came of it."""
    place = send_raw(operator, f"drill {line}: no command".encode(), key=f"drill-{line}").place
    deadline = Deadline(REPLY_SECONDS)
    row = dead_letters.c
    here = row.topic == place.topic, row.partition == place.partition, row.offset == place.offset
    query = select(row.id).where(*here, row.sent_at.is_not(None)).order_by(row.id.desc()).limit(1)
    while True:
        with transaction(operator.settings) as connection:
            letter = connection.scalar(query)
        if letter is not None:
            discard(operator, [letter])
            return f"the unreadable record at {place} became dead letter {letter}, which was sent and discarded"
        if deadline.passed:
            raise NotPossible(f"The record at {place} did not become a dead letter within {REPLY_SECONDS:g} s.")
        time.sleep(PAUSE_SECONDS)


def _ask(operator: Operator, kind: str, payload: object, correlation_id: str) -> None:
    """Send a command and wait until its reply is on the topic."""
    settings = operator.settings
    ends = log_search.ends(settings, settings.events_topic, REPLY_SECONDS)
    send_command(operator, kind, encode(payload), correlation_id=correlation_id, key=correlation_id)
    _await_replies(settings, ends, correlation_id, 1)


def _cancel(operator: Operator, order_id: str, correlation_id: str) -> None:
    _ask(operator, "cancel_order", {"order_id": order_id, "reason": "the end of a drill"}, correlation_id)
    with transaction(operator.settings) as connection:
        status = connection.scalar(select(Order.order_status).where(Order.order_id == order_id))
    if status != "CANCELLED":
        raise NotPossible(f"The canary's order {order_id} is {status}, not CANCELLED.")


def _await_replies(settings: Settings, ends: dict[int, int], correlation_id: str, count: int) -> None:
    found = log_search.find_replies(settings, settings.events_topic, ends, correlation_id, count, REPLY_SECONDS)
    if len(found) < count:
        raise NotPossible(f"No reply to {correlation_id} was on {settings.events_topic} within {REPLY_SECONDS:g} s.")


def _order_of(settings: Settings, saga: str) -> str:
    with transaction(settings) as connection:
        orders = connection.scalars(select(Order.order_id).where(Order.saga_id == saga)).all()
        changes = len(
            connection.scalars(select(order_changes.c.version).where(order_changes.c.order_id.in_(orders))).all()
        )
    if (len(orders), changes) != (1, 1):
        raise NotPossible(f"The canary {saga} made {len(orders)} orders with {changes} changes, not one with one.")
    return str(orders[0])


def _repeats(settings: Settings, correlation_id: str) -> int:
    known = command_identities.c
    with transaction(settings) as connection:
        return connection.scalar(select(known.repeats).where(known.correlation_id == correlation_id)) or 0
