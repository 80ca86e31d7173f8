"""How decisions look on the wire: the success bodies of the contract [H6-H13]."""

from collections.abc import Callable
from typing import Any

from app.models.rules import Decision, Refusal, Unchanged
from app.models.writes import HttpAnswer
from app.wire.answers import failure
from app.wire.encoder import encode

Presenter = Callable[[str, Decision], HttpAnswer]
"""From the path that was called and what the rules decided to the answer."""


def with_order(message: str) -> Presenter:
    """Present a success as a message and the order after it."""

    def present(path: str, decision: Decision) -> HttpAnswer:
        if isinstance(decision, Refusal):
            return failure(path, decision.code, decision.message)
        body: dict[str, Any] = {"message": message, "order": decision.order.to_wire()}
        if isinstance(decision, Unchanged) and decision.forgiven:
            body["changed"] = False
        return HttpAnswer(200, encode(body))

    return present


def with_id(status: int, message: str) -> Presenter:
    """Present a success as a flag, a message and the order's id."""

    def present(path: str, decision: Decision) -> HttpAnswer:
        if isinstance(decision, Refusal):
            return failure(path, decision.code, decision.message)
        body = {"success": True, "message": message, "order_id": decision.order.order_id}
        return HttpAnswer(status, encode(body))

    return present
