"""What must hold of every refusal, and of every text that goes on to PostgreSQL."""

import re
from typing import Any

from app.utils.text import MAX_SENTENCE
from app.wire.answers import failure
from app.wire.decoder import decode

_CODE = re.compile("[a-z]+(_[a-z]+)*")
_ECHOES = ("Invalid status: ", "Invalid payment status: ")
"""Sentences that go on with the text that was given [H14]."""
_INTERNALS = re.compile(r"psycopg|sqlalchemy|pydantic|traceback|<class|\.py\b|0x[0-9a-f]{6}", re.IGNORECASE)


def check_refusal(code: str, sentence: str) -> None:
    """Hold a refusal against what a caller may be shown of it."""
    answer = decode(failure(code, sentence).body)
    assert answer["code"] == code, answer
    check_sentence(code, answer["error"])


def check_sentence(code: str, sentence: str) -> None:
    """Hold a code and its sentence, as they are on the wire, against [H1]."""
    assert _CODE.fullmatch(code), code
    assert code != "internal_error"
    assert 0 < len(sentence) <= MAX_SENTENCE, sentence
    if not sentence.startswith(_ECHOES):
        assert sentence.isprintable(), ascii(sentence)
        assert not _INTERNALS.search(sentence), sentence


def check_storable(value: Any) -> None:
    """Hold each text in the JSON value against what PostgreSQL can store."""
    if isinstance(value, str):
        assert "\0" not in value
        value.encode()
    elif isinstance(value, dict):
        for name, item in value.items():
            check_storable(name)
            check_storable(item)
    elif isinstance(value, list):
        for item in value:
            check_storable(item)
