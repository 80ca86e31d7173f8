"""What a move would do to an order: done by the service's own code in a transaction that is rolled back."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from app.config.config import Settings
from app.kafka import operator as kafka
from app.models.errors import CommandFault, Refused
from app.models.operator_errors import KafkaUnusable, NotPossible
from app.models.order import OrderState
from app.models.rules import ORDER_TAKEN, Verdict
from app.models.writes import NO_EVENT, ChangeSource, HttpAnswer
from app.operations.attempts import Attempt, Difference, Record, differences, undone
from app.operations.possible_moves import HTTP_MOVES, command_of
from app.operations.send_command import command_bytes
from app.utils.ids import new_id
from app.wire.answers import code_of, failure
from app.wire.bodies import SAYS_SUCCESS
from app.wire.decoder import decode


@dataclass(frozen=True, slots=True)
class Simulation:
    """What a move would do to the order, which now has `version`. `verdict`: GO, SAME or NO, as Move has it.

    `event`: the record's value as it would be sent, but for its event id and times, and its `key`; None if there is
    none. Of a command it is the reply, which there is always. `partition`: None if the broker does not say how many
    there are. `status` and `body`: what a caller would get; None for a command.
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
    status: int | None
    body: bytes | None
    notes: Sequence[str]


def simulated_request(settings: Settings, order_id: str, move: str, values: Mapping[str, str], door: str) -> Simulation:
    """Do what a caller's request does, and undo it. Blocks and raises as `undone`; raises NotFound too."""
    body, form = HTTP_MOVES[move]
    with undone(settings) as attempts:
        order = attempts.hold(order_id)
        try:
            command = command_of(body, order_id, values)
        except Refused as refused:
            says_success = form.path in SAYS_SUCCESS
            attempt = Attempt(failure(refused.code, str(refused), says_success=says_success), None)
        else:
            attempt = attempts.request(command, form, ChangeSource(door, str(new_id())))
            attempts.check_constraints()
    return _of_request(settings, move, order, attempt)


def simulated_command(settings: Settings, order_id: str, move: str, values: Mapping[str, str]) -> Simulation:
    """Do what a command from the topic does, and undo it. As `simulated_request`; raises NotPossible too."""
    sent = command_bytes(move, str(new_id()), {"order_id": order_id, **values})
    with undone(settings) as attempts:
        order = attempts.hold(order_id)
        try:
            (tried,) = attempts.commands([Record.now(0, None, sent)])
        except CommandFault as fault:
            raise NotPossible(f"The service cannot handle this command: {fault}.") from None
    reply, change = tried.reply, tried.change
    assert reply is not None  # it has a correlation id that nobody has used
    payload = decode(reply.payload)["payload"]
    found = Simulation(
        order.order_id,
        move,
        order.version,
        _verdict(changes=change is not None, code=payload.get("code")),
        payload.get("code"),
        payload.get("error"),
        [] if change is None else differences(order, change.order),
        reply.type,
        reply.payload,
        settings.events_topic,
        reply.key,
        partition=None,
        status=None,
        body=None,
        notes=[],
    )
    return _with_partition(settings, found)


def _of_request(settings: Settings, move: str, order: OrderState, attempt: Attempt) -> Simulation:
    answer, write = attempt.answer, attempt.write
    code = code_of(answer)
    event = NO_EVENT if write is None else write.event
    found = Simulation(
        order.order_id,
        move,
        order.version,
        _verdict(changes=write is not None, code=code),
        code,
        decode(answer.body)["error"] if code else None,
        [] if write is None else differences(order, write.change.order),
        event.type,
        event.payload,
        settings.events_topic,
        None if event.payload is None else order.order_id,
        partition=None,
        status=answer.status,
        body=answer.body,
        notes=_notes(answer, code, settings),
    )
    return found if found.key is None else _with_partition(settings, found)


def _verdict(*, changes: bool, code: str | None) -> str:
    return (Verdict.GO if changes else Verdict.NO if code else Verdict.SAME).name


def _with_partition(settings: Settings, found: Simulation) -> Simulation:
    try:
        partition = kafka.partition_of(settings, found.topic, (found.key or "").encode())
    except KafkaUnusable as failure:
        return replace(found, notes=[*found.notes, f"The partition is not known: {failure}"])
    return replace(found, partition=partition)


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
