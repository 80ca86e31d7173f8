"""The one JSON writer: compact UTF-8 bytes, Decimal as a JSON number with the digits it has."""

from decimal import Decimal
from typing import Any

import orjson

from app.wire.decoder import Number


def encode(value: Any) -> bytes:
    """Return `value` as compact JSON. Raises TypeError on what is not JSON (a bug of the caller)."""
    return orjson.dumps(value, default=_number)


def _number(value: Any) -> orjson.Fragment:
    if isinstance(value, Number):
        return orjson.Fragment(value.text)
    if isinstance(value, Decimal):
        return orjson.Fragment(str(value))
    raise TypeError(f"{type(value).__name__} is not JSON")
