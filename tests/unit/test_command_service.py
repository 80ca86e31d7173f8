"""What a batch of commands does, decided in memory: each order once, in its last state [K3, K7, K8]."""

from collections.abc import Sequence

import pytest

from app.database.batches import BatchEffects, LockedBatch
from app.models import rules
from app.models.errors import CommandFault
from app.models.order import OrderState, OrderStatus
from app.models.records import Batch, ReceivedCommand
from app.services.command_service import decide_all, refuse_all
from app.wire.command_reader import parse_record
from tests.unit.builders import NOW, PAYLOADS, a_command, an_order
from tests.unit.scripted_commands import TOPIC, Sent


def a_batch(*values: bytes) -> Batch:
    records = [Sent(offset, value=value) for offset, value in enumerate(values)]
    return Batch("order_commands", TOPIC, 0, 0, len(records), records)


def commands_of(batch: Batch) -> list[tuple[Sent, ReceivedCommand]]:
    found = [(record, parse_record(record.value)) for record in batch.records if isinstance(record, Sent)]
    return [(record, command) for record, command in found if isinstance(command, ReceivedCommand)]


def decided(*values: bytes, orders: Sequence[OrderState] = (), sagas: dict[str, str] | None = None) -> BatchEffects:
    batch = a_batch(*values)
    found = {order.order_id: order for order in orders}
    return decide_all(batch, LockedBatch(commands_of(batch), found, sagas or {}, {"saga-1": "new-order"}), lambda: NOW)


def an_update(status: str, order_id: str = "order-1") -> bytes:
    return a_command("update_order_status", payload={"order_id": order_id, "status": status})


def test_an_order_that_several_commands_change_is_written_once_in_its_last_state() -> None:
    """Guarded on the version that it had before the batch; each change has its line and its reply."""
    effects = decided(
        an_update("PLACED"), an_update("ON_THE_WAY"), a_command(), orders=[an_order("ACCEPTED", "runner")]
    )
    ((order, guard),) = effects.updated.values()
    assert (order.order_status, order.version, guard) == (OrderStatus.CANCELLED, 10, 7)
    assert [change.order.version for change, *_ in effects.changes] == [8, 9, 10]
    assert [reply.version for reply in effects.replies] == [8, 9, 10]
    assert effects.created == {}


def test_an_order_that_is_made_and_changed_is_inserted_as_it_is_at_the_end() -> None:
    effects = decided(a_command("create_order"), an_update("CREATED", "new-order"))
    (order,) = effects.created.values()
    assert (order.order_id, order.order_status, order.version) == ("new-order", OrderStatus.CREATED, 2)
    assert effects.updated == {}


def test_a_saga_makes_one_order_within_a_batch_and_beyond_it() -> None:
    """Also where the second command cannot be carried out."""
    unusable = a_command("create_order", payload=PAYLOADS["create_order"] | {"customer_id": 5})
    effects = decided(a_command("create_order"), a_command("create_order", note="again"), unusable)
    assert [outcome for _, outcome in effects.outcomes] == ["done", "unchanged", "unchanged"]
    assert len(effects.created) == 1
    known = decided(a_command("create_order"), orders=[an_order(order_id="old")], sagas={"saga-1": "old"})
    assert ([reply.key for reply in known.replies], known.created) == (["old"], {})


def test_a_command_of_an_unknown_order_gets_its_failure_and_writes_nothing_else() -> None:
    effects = decided(an_update("PLACED", "gone"))
    assert [reply.type for reply in effects.replies] == ["order.status_update_failed"]
    assert (effects.created, effects.updated, effects.changes) == ({}, {}, [])


def test_a_command_that_cannot_be_decided_is_named_by_its_offset(monkeypatch: pytest.MonkeyPatch) -> None:
    """[K10]"""

    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(rules, "decide", broken)
    with pytest.raises(CommandFault, match="ZeroDivisionError while the command at offset 1 was decided"):
        decided(a_command("create_order"), an_update("PLACED"))


def test_a_command_that_is_given_up_gets_its_failure_and_keeps_its_bytes() -> None:
    """[K10]"""
    batch = a_batch(an_update("PLACED"))
    effects = refuse_all(batch, commands_of(batch), "a bug", lambda: NOW)
    assert [(record.value, reason) for record, _, reason in effects.given_up] == [(batch.records[0].value, "a bug")]
    assert [(reply.type, b"internal_error" in reply.payload) for reply in effects.replies] == [
        ("order.status_update_failed", True)
    ]
