"""The Kafka door without Kafka: bytes of records -> commands -> decisions -> orders and replies.

A batch is records with SEPARATOR between them, which JSON cannot hold.
"""

import uuid
from collections.abc import Sequence

from app.database.batches import BatchEffects, LockedBatch, Received
from app.models.commands import CreateOrder
from app.models.records import NO_ID, Batch, ReceivedCommand
from app.models.rules import Refusal
from app.services.command_service import decide_all
from app.utils.ids import saga_order_id
from app.wire.command_reader import parse_record
from app.wire.command_types import COMMAND_TYPES
from app.wire.decoder import decode
from app.wire.fields import is_id
from app.wire.replies import Reply
from tests.fuzz.checks import check_sentence, check_storable
from tests.fuzz.orders import ORDERS, SAGAS, check_order
from tests.unit.builders import NOW
from tests.unit.scripted_commands import Sent

SEPARATOR = b"\x1e"
MAX_RECORDS = 8

_TYPES = {name for kind in COMMAND_TYPES.values() for name in (kind.success, kind.failure)}


def commands(data: bytes) -> None:
    """Handle the bytes as a batch. Raises AssertionError, or what the service would raise."""
    records = [Sent(offset, value=value) for offset, value in enumerate(data.split(SEPARATOR)[:MAX_RECORDS])]
    received: list[Received] = []
    for record in records:
        found = parse_record(record.value)
        if isinstance(found, ReceivedCommand):
            check_received(found)
            received.append((record, found))
        else:
            check_sentence("dead_letter", found.error)
    batch = Batch("order_commands", NO_ID, 0, 0, len(records), records)
    effects = decide_all(batch, _locked(received), lambda: NOW)
    check_effects(effects, received)


def check_received(command: ReceivedCommand) -> None:
    """Hold a command against what its row and its reply can hold."""
    assert command.type in COMMAND_TYPES
    assert is_id(command.correlation_id)
    assert all(name is None or is_id(name) for name in (command.order_id, command.saga_id))


def check_effects(effects: BatchEffects, received: Sequence[Received]) -> None:
    """Hold what a batch would write against what PostgreSQL and the callers take."""
    assert len(effects.replies) == len(effects.outcomes) == len(received)
    for reply, (_, command) in zip(effects.replies, received, strict=True):
        check_reply(reply, command)
    for order in effects.created.values():
        check_order(order)
        assert order.order_id not in ORDERS
    for order_id, (order, guard) in effects.updated.items():
        check_order(order)
        assert guard == ORDERS[order_id].version < order.version
    for change, event_id, _, command in effects.changes:
        assert isinstance(event_id, uuid.UUID)
        assert is_id(command.correlation_id)
        assert change.before is None or change.order.version == change.before.version + 1


def check_reply(reply: Reply, command: ReceivedCommand) -> None:
    """Hold the bytes of a reply against the contract."""
    record = decode(reply.payload)
    check_storable(record)
    payload = record["payload"]
    assert record["type"] == reply.type in _TYPES
    assert record["correlation_id"] == payload["correlation_id"] == command.correlation_id
    assert is_id(reply.key)
    failed = reply.type == COMMAND_TYPES[command.type].failure
    assert failed or not isinstance(command.command, Refusal) or payload["order_id"]
    if failed:
        check_sentence(payload["code"], payload["error"])
        assert reply.version is None
    else:
        assert payload.get("version") == reply.version


def _locked(received: Sequence[Received]) -> LockedBatch:
    new = {
        command.saga_id: saga_order_id(command.saga_id, 0)
        for _, command in received
        if isinstance(command.command, CreateOrder) and command.saga_id is not None and command.saga_id not in SAGAS
    }
    return LockedBatch(received, dict(ORDERS), dict(SAGAS), new)
