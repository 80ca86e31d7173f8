"""What each operation of the contract would do to an order now: the rules are asked, and nothing else. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import cast

from app.models.commands import OrderCommand
from app.models.order import OrderState, OrderStatus, PaymentStatus
from app.models.rules import Change, Decision, Refusal, Verdict, decide
from app.wire.answers import AnswerForm
from app.wire.bodies import CHANGES, OrderBody
from app.wire.command_types import COMMAND_TYPES, CommandPayload
from app.wire.fields import parse_body

Model = type[OrderBody] | type[CommandPayload]

HTTP_MOVES: Mapping[str, tuple[type[OrderBody], AnswerForm]] = MappingProxyType(
    {form.path.removeprefix("/"): (body, form) for _, body, form in CHANGES if issubclass(body, OrderBody)}
)
"""Each call about an order that exists, by its path without the slash."""

COMMAND_MOVES: Mapping[str, type[CommandPayload]] = MappingProxyType(
    {name: kind.payload for name, kind in COMMAND_TYPES.items() if kind.subject == "order_id"}
)
"""Each command about an order that exists, by its type."""

MODELS: Mapping[str, Model] = MappingProxyType(
    {**{name: body for name, (body, _) in HTTP_MOVES.items()}, **COMMAND_MOVES}
)
"""By move, the body or payload that holds its values."""

_ORDER_IDS = ("orderId", "order_id")
_CHOICES: Mapping[str, Sequence[str]] = MappingProxyType(
    {"status": tuple(OrderStatus.__members__), "payment_status": tuple(PaymentStatus.__members__)}
)


@dataclass(frozen=True, slots=True)
class Parameter:
    """A value that a move takes. `choices` is empty where any text will do."""

    name: str
    is_required: bool
    choices: Sequence[str]


@dataclass(frozen=True, slots=True)
class Move:
    """What an operation would do: GO, SAME (success without a change), or NO with the code and the refusal's sentence.

    An operation whose verdict depends on a value has one of these for each verdict; `given` says for which values it
    is. None: whatever the values are. `door`: http or kafka.
    """

    name: str
    door: str
    verdict: str
    given: str | None
    code: str | None
    refusal: str | None
    parameters: Sequence[Parameter]


def possible_moves(order: OrderState, now: datetime, *, has_refused_accept: bool) -> list[Move]:
    """Return what each operation would do. `has_refused_accept`: a refused accept of the order is remembered [R8]."""
    return [
        Move(name, "http" if name in HTTP_MOVES else "kafka", verdict, given, code, refusal, parameters(model))
        for name, model in MODELS.items()
        for (verdict, code, refusal), given in _verdicts(model, order, now, has_refused_accept).items()
    ]


def parameters(model: Model) -> list[Parameter]:
    """Return what a body or payload takes besides the order's id."""
    return [
        Parameter(name, field.is_required(), _CHOICES.get(name, ()))
        for name, field in model.model_fields.items()
        if name not in _ORDER_IDS
    ]


def command_of(model: Model, order_id: str, values: Mapping[str, str]) -> OrderCommand:
    """Return the command that the values ask for. Raises Refused."""
    named = next(name for name in _ORDER_IDS if name in model.model_fields)
    return cast(OrderCommand, parse_body(model, {named: order_id, **values}).command())


_Verdict = tuple[str, str | None, str | None]


def _verdicts(model: Model, order: OrderState, now: datetime, has_refused_accept: bool) -> dict[_Verdict, str | None]:
    """Return each verdict that the operation can have, and for which values it has it."""
    found: dict[_Verdict, list[str]] = {}
    for label, values in _cases(model, order):
        command = command_of(model, order.order_id, values)
        decision = decide(order, command, now, has_refused_accept=has_refused_accept)
        found.setdefault(_verdict(decision), []).append(label)
    if len(found) == 1:
        return dict.fromkeys(found)
    depends_on = "status" if "status" in model.model_fields else "runner_id"
    return {verdict: f"{depends_on}: {', '.join(labels)}" for verdict, labels in found.items()}


def _cases(model: Model, order: OrderState) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield values of every kind that the rules tell apart, each with its name."""
    taken = model.model_fields
    if "status" in taken:
        for status in _CHOICES["status"]:
            yield status, {"status": status}
        if "payment_status" in taken and order.order_status in _CHOICES["status"]:
            other = next(payment for payment in _CHOICES["payment_status"] if payment != order.payment_status)
            values = {"status": order.order_status.value, "payment_status": other}
            yield f"{order.order_status} with another payment_status", values
        return
    if "runner_id" not in taken or not taken["runner_id"].is_required():
        yield "none", {}
    if "runner_id" in taken:
        if order.runner_id:
            yield "the one that it has", {"runner_id": order.runner_id}
        yield "another", {"runner_id": "-" if order.runner_id != "-" else "--"}


def _verdict(decision: Decision) -> _Verdict:
    if isinstance(decision, Refusal):
        return Verdict.NO.name, decision.code, decision.message
    return (Verdict.GO if isinstance(decision, Change) else Verdict.SAME).name, None, None
