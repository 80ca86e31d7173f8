"""What may be done to an order now, what exactly that would do, and that done: the service's own code does all three.

A move is an operation of the contract about an order that exists (possible_moves.py). Simulated, it runs in a
transaction that is rolled back. Carried out, it is a change over the operator's door, with the event of the HTTP call.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from app.config.config import Settings
from app.models.errors import Refused
from app.models.operator_errors import NotPossible
from app.models.order import OrderState
from app.models.writes import ChangeSource, HttpAnswer, OrderWrite
from app.operations.attempts import SECONDS, Attempt, Attempts, Difference, differences, undone, unusable_if_it_fails
from app.operations.audit import Operator
from app.operations.forget_orders import DOOR
from app.operations.possible_moves import (
    COMMAND_MOVES,
    HTTP_MOVES,
    MODELS,
    Move,
    Parameter,
    command_of,
    parameters,
    possible_moves,
)
from app.operations.simulation import Simulation, simulated_command, simulated_request
from app.services.counted import count_change
from app.utils.ids import new_id
from app.utils.text import listed
from app.wire.answers import code_of
from app.wire.decoder import decode, is_storable
from app.wire.forgetting import names

__all__ = ["CarriedOut", "Difference", "Move", "Parameter", "Simulation", "carry_out", "moves", "simulate"]


@dataclass(frozen=True, slots=True)
class CarriedOut:
    """What was done: the order's new `version`, and the HTTP status and body that a caller would have got."""

    order_id: str
    move: str
    version: int
    change_id: UUID
    correlation_id: str
    event_type: str | None
    differences: Sequence[Difference]
    status: int
    body: bytes


def moves(settings: Settings, order_id: str) -> Sequence[Move]:
    """Return what each operation would do to the order now. Blocks for 3 s at the longest. Raises NotFound."""
    with undone(settings) as attempts:
        order = attempts.look(order_id)
        remembered = attempts.has_refused_accept(order_id)
    return possible_moves(order, datetime.now(UTC), has_refused_accept=remembered)


def simulate(settings: Settings, order_id: str, move: str, values: Mapping[str, str]) -> Simulation:
    """Do the move as a caller's request, or as a command, see what it does, and undo it. Commits nothing.

    Blocks for 3 s at the longest, 0.3 s of them for an order that somebody else holds, and up to 2 s for the broker.
    Raises NotFound, and NotPossible if there is no such move, or it takes no such value.
    """
    _require_move(move, values)
    if move in COMMAND_MOVES:
        return simulated_command(settings, order_id, move, values)
    return simulated_request(settings, order_id, move, values, DOOR)


def carry_out(
    operator: Operator, order_id: str, move: str, values: Mapping[str, str], *, version: int, reason: str
) -> CarriedOut:
    """Do the move to exactly this version of the order, or nothing. Commits the change with its audit line.

    The history has the operator as the caller and `operator` as the door; the event is that of the HTTP call. Blocks
    for 3 s at the longest, 0.3 s of them for an order that somebody else holds. Raises NotFound, and NotPossible if the
    order has another version, if the move is refused or would change nothing, or if the reason will not do.
    """
    _require_move(move, values)
    if move in COMMAND_MOVES:
        raise NotPossible(f"{move} is a command: send it with `flask orders send-command`. Nothing was changed.")
    body, form = HTTP_MOVES[move]
    source = ChangeSource(DOOR, str(new_id()), operator.name)
    with unusable_if_it_fails(), operator.change("do", SECONDS) as change:
        attempts = Attempts(change.connection, operator.settings)
        order = attempts.hold(order_id)
        _require_version(order, version)
        _require_reason(reason, [order.cust_id, order.runner_id, values.get("runner_id")])
        try:
            command = command_of(body, order_id, values)
        except Refused as refused:
            raise NotPossible(f"{refused}. Nothing was changed.") from None
        attempt = attempts.request(command, form, source)
        write = _require_change(attempt, order)
        change.record(f"order {order_id}", _detail(move, order, write.change.order, reason))
    count_change(write.change.kind, DOOR)
    return _carried_out(move, order, write, attempt.answer)


def _require_move(move: str, values: Mapping[str, str]) -> None:
    """Raise NotPossible if there is no such move, or it takes no such value: a caller's would be skipped [R7], but a
    person has mistyped it."""
    if move not in HTTP_MOVES and move not in COMMAND_MOVES:
        raise NotPossible(f"There is no move {move!r}: there are {listed([*HTTP_MOVES, *COMMAND_MOVES])}.")
    taken = [parameter.name for parameter in parameters(MODELS[move])]
    unknown = [name for name in values if name not in taken]
    if unknown:
        raise NotPossible(f"{move} takes no {listed(unknown)}: it takes {listed(taken) or 'nothing'}.")
    if not all(map(is_storable, values.values())):
        raise NotPossible("A value must not contain NUL or lone surrogates.")


def _require_version(order: OrderState, version: int) -> None:
    if order.version != version:
        raise NotPossible(
            f"Order {order.order_id} has moved on: it has version {order.version} ({order.order_status}), not "
            f"{version}. Look again. Nothing was changed."
        )


def _require_reason(reason: str, persons: Sequence[str | None]) -> None:
    if not reason.strip() or not is_storable(reason):
        raise NotPossible("Give a reason: the audit keeps it.")
    if any(person and names(reason.encode(), person) for person in persons):
        raise NotPossible("The reason names the customer or a runner, and the audit would keep it: give another.")


def _require_change(attempt: Attempt, order: OrderState) -> OrderWrite:
    """Return what was written. Raises NotPossible, which undoes all else that the request has done."""
    code = code_of(attempt.answer)
    if code is not None:
        sentence = decode(attempt.answer.body)["error"]
        raise NotPossible(f"{sentence} ({code}). Nothing was changed.")
    write = attempt.write
    if write is None or write.change.before is None or write.change.before.version != order.version:
        raise NotPossible(f"Order {order.order_id} would not change. Nothing was changed.")
    return write


def _detail(move: str, before: OrderState, after: OrderState, reason: str) -> str:
    statuses = f"{before.order_status} → {after.order_status}"
    return f"{move}: version {before.version} → {after.version}, {statuses}: {reason}"


def _carried_out(move: str, before: OrderState, write: OrderWrite, answer: HttpAnswer) -> CarriedOut:
    after = write.change.order
    return CarriedOut(
        after.order_id,
        move,
        after.version,
        write.change_id,
        write.source.correlation_id,
        write.event.type,
        differences(before, after),
        answer.status,
        answer.body,
    )
