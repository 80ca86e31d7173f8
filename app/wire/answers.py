"""Answers as bytes: the failures of the contract [H1]."""

from app.models.writes import HttpAnswer
from app.utils.text import clip
from app.wire.codes import CODES
from app.wire.encoder import encode

SAYS_SUCCESS = frozenset({"/createOrder", "/testCreateOrder", "/verifyAndAcceptOrder"})
"""The paths whose answers have `success`."""


def failure(path: str, code: str, sentence: str = "") -> HttpAnswer:
    """Return the answer to a call of the path that failed; the sentence is clipped, and by default the code's own."""
    status, own_sentence = CODES.get(code, (400, ""))
    body: dict[str, object] = {"error": clip(sentence or own_sentence), "code": code}
    if path in SAYS_SUCCESS:
        body["success"] = False
    return HttpAnswer(status, encode(body))
