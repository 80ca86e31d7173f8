"""What may be done to an order now, what exactly that would do, and that done: the service's own code does all three.

A move is an operation of the contract about an order that exists (possible_moves.py). Simulated, it runs in a
transaction that is rolled back. Carried out, it is a change over the operator's door, with the event of the HTTP call.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from app.config.config import Settings
from app.kafka import operator as kafka
from app.models.errors import Refused
from app.models.operator_errors import KafkaUnusable, NotPossible
from app.models.order import OrderState
from app.models.rules import ORDER_TAKEN, Verdict
from app.models.writes import NO_EVENT, ChangeSource, HttpAnswer, OrderWrite
from app.operations.attempts import SECONDS, Attempt, Attempts, Difference, differences, undone, unusable_if_it_fails
from app.operations.audit import Operator
from app.operations.forget_orders import DOOR
from app.operations.possible_moves import (
    COMMAND_MOVES,
    HTTP_MOVES,
    Move,
    Parameter,
    command_of,
    parameters,
    possible_moves,
)
from app.utils.ids import new_id
from app.utils.text import listed
from app.wire.answers import AnswerForm, code_of, failure
from app.wire.bodies import SAYS_SUCCESS, OrderBody
from app.wire.decoder import decode
from app.wire.forgetting import names

__all__ = ["CarriedOut", "Difference", "Move", "Parameter", "Simulation", "carry_out", "moves", "simulate"]


@dataclass(frozen=True, slots=True)
class Simulation:
    """What a move would do to the order, which now has `version`. `verdict`: GO, SAME or NO, as Move has it.

    `event`: the record's value as it would be sent, but for its event id and times, and the order id as its `key`;
    None if nothing changes. `partition`: None if the broker does not say how many there are. `status` and `body`: what
    a caller would get.
    """

    order_id: str
    move: str
    version: int
    verdict: str
    code: str | None
    refusal: str | None
    differences: Sequence[Difference]
    event_type: str | None
    event: bytes | None
    topic: str
    key: str | None
    partition: int | None
    status: int
    body: bytes
    notes: Sequence[str]


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
    """Do the move as a caller's request, see what it does, and undo it. Commits nothing.

    Blocks for 3 s at the longest, 0.3 s of them for an order that somebody else holds, and up to 2 s for the broker.
    Raises NotFound, and NotPossible if there is no such move, or it takes no such value.
    """
    body, form = _http_move(move, values)
    with undone(settings) as attempts:
        order = attempts.hold(order_id)
        try:
            command = command_of(body, order_id, values)
        except Refused as refused:
            says_success = form.path in SAYS_SUCCESS
            attempt = Attempt(failure(refused.code, str(refused), says_success=says_success), None)
        else:
            attempt = attempts.request(command, form, ChangeSource(DOOR, str(new_id())))
            attempts.check_constraints()
    return _simulation(settings, move, order, attempt)


def carry_out(
    operator: Operator, order_id: str, move: str, values: Mapping[str, str], *, version: int, reason: str
) -> CarriedOut:
    """Do the move to exactly this version of the order, or nothing. Commits the change with its audit line.

    The history has the operator as the caller and `operator` as the door; the event is that of the HTTP call. Blocks
    for 3 s at the longest, 0.3 s of them for an order that somebody else holds. Raises NotFound, and NotPossible if the
    order has another version, if the move is refused or would change nothing, or if the reason will not do.
    """
    body, form = _http_move(move, values)
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
    return _carried_out(move, order, write, attempt.answer)


def _http_move(move: str, values: Mapping[str, str]) -> tuple[type[OrderBody], AnswerForm]:
    """Return the body and answer of the move. Raises NotPossible, also for a value that it does not take: a caller's
    would be skipped [R7], but a person has mistyped it."""
    if move in COMMAND_MOVES:
        raise NotPossible(f"{move} is a command: send it with `flask orders send-command`.")
    if move not in HTTP_MOVES:
        raise NotPossible(f"There is no move {move!r}: there are {listed(HTTP_MOVES)}.")
    body, form = HTTP_MOVES[move]
    taken = [parameter.name for parameter in parameters(body)]
    unknown = [name for name in values if name not in taken]
    if unknown:
        raise NotPossible(f"{move} takes no {listed(unknown)}: it takes {listed(taken) or 'nothing'}.")
    return body, form


def _simulation(settings: Settings, move: str, order: OrderState, attempt: Attempt) -> Simulation:
    answer, write = attempt.answer, attempt.write
    code = code_of(answer)
    event = NO_EVENT if write is None else write.event
    notes = _notes(answer, code, settings)
    partition = None
    if event.payload is not None:
        try:
            partition = kafka.partition_of(settings, settings.events_topic, order.order_id.encode())
        except KafkaUnusable as failure:
            notes.append(f"The partition is not known: {failure}")
    return Simulation(
        order.order_id,
        move,
        order.version,
        (Verdict.GO if write else Verdict.NO if code else Verdict.SAME).name,
        code,
        decode(answer.body)["error"] if code else None,
        [] if write is None else differences(order, write.change.order),
        event.type,
        event.payload,
        settings.events_topic,
        order.order_id if event.payload is not None else None,
        partition,
        answer.status,
        answer.body,
        notes,
    )


def _notes(answer: HttpAnswer, code: str | None, settings: Settings) -> list[str]:
    """Return what else a caller's request would do: it remembers, or uses up, a refused accept [R8]."""
    if code == ORDER_TAKEN:
        seconds = settings.refused_accept_seconds
        return [
            f"A caller's refusal is remembered for {seconds} s: the next clearRunner without a runner changes nothing."
        ]
    if code is None and decode(answer.body).get("changed") is False:
        return ["A caller's request uses up a refused accept that is remembered, and so changes nothing."]
    return []


def _require_version(order: OrderState, version: int) -> None:
    if order.version != version:
        raise NotPossible(
            f"Order {order.order_id} has moved on: it has version {order.version} ({order.order_status}), not "
            f"{version}. Look again. Nothing was changed."
        )


def _require_reason(reason: str, persons: Sequence[str | None]) -> None:
    if not reason.strip():
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
