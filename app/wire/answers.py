"""Answers as bytes: the failures of the contract [H1], and what a change is answered with [H6-H13]."""

from dataclasses import dataclass
from typing import Any

from app.models.rules import Decision, Refusal, Unchanged
from app.models.writes import HttpAnswer
from app.utils.text import clip
from app.wire.codes import CODES
from app.wire.decoder import decode
from app.wire.encoder import encode


def failure(code: str, sentence: str = "", *, says_success: bool = False) -> HttpAnswer:
    """Return the answer to a call that failed; the sentence is clipped, and by default the code's own."""
    status, own_sentence = CODES.get(code, (400, ""))
    body: dict[str, object] = {"error": clip(sentence or own_sentence), "code": code}
    if says_success:
        body["success"] = False
    return HttpAnswer(status, encode(body))


def code_of(answer: HttpAnswer) -> str | None:
    """Return the code of a failure, None of a success."""
    if answer.status < 400:
        return None
    code: str = decode(answer.body)["code"]
    return code


@dataclass(frozen=True, slots=True)
class AnswerForm:
    """How a change is answered: a status, a message, and the order, or its id with `success`."""

    path: str
    message: str
    status: int = 200
    shows_order: bool = False

    def answer(self, decision: Decision) -> HttpAnswer:
        """Return the answer to what the rules decided."""
        if isinstance(decision, Refusal):
            return failure(decision.code, decision.message, says_success=not self.shows_order)
        if not self.shows_order:
            success = {"success": True, "message": self.message, "order_id": decision.order.order_id}
            return HttpAnswer(self.status, encode(success))
        body: dict[str, Any] = {"message": self.message, "order": decision.order.to_wire()}
        if isinstance(decision, Unchanged) and decision.answers_refused_accept:
            body["changed"] = False
        return HttpAnswer(self.status, encode(body))
