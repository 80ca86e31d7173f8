"""The one JSON reader of both doors: strict, bounded, exact.

It refuses, with one sentence each, what would otherwise surface later as a driver error: NUL and lone surrogates
(PostgreSQL has no such text), duplicate keys, NaN and Infinity, numbers no reader can hold, deep nesting.
"""

import json
import re
from decimal import Decimal
from typing import Any, NoReturn

MAX_BYTES = 128 * 1024
MAX_DEPTH = 32

_STRINGS = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"?', re.DOTALL)
_BRACKETS = re.compile(rb"[\[\]{}]")
_EXACT_INT_DIGITS = 18  # fits a signed 64-bit integer whatever the digits are


class Number(Decimal):
    """A JSON number with the text it had: what is passed on keeps the digits as they were sent."""

    text: str


class Unreadable(ValueError):
    """The bytes are not JSON that this service takes. `code` is stable, `str()` is the sentence."""

    def __init__(self, code: str, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code


def decode(body: bytes) -> Any:
    """Return the JSON value in `body`: numbers with a fraction or exponent as Decimal. Raises Unreadable."""
    if too_deep(body):
        raise Unreadable("too_deep", f"JSON is nested deeper than {MAX_DEPTH} levels")
    try:
        value = _STRICT.decode(body.decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise Unreadable("invalid_json", "The text is not valid UTF-8") from None
    except json.JSONDecodeError as error:
        raise Unreadable("invalid_json", f"Malformed JSON at character {error.pos}: {error.msg}") from None
    if b"\\u" in body:  # without an escape neither NUL nor a lone surrogate can be in it
        _refuse_unstorable(value)
    return value


def decode_leniently(body: bytes) -> Any:
    """Return what a forgiving reader sees (duplicate keys, NaN), None where even that one sees nothing.

    The caller has checked the size and `too_deep`.
    """
    try:
        return _LENIENT.decode(body.decode("utf-8-sig"))
    except ValueError:
        return None


def too_deep(body: bytes) -> bool:
    """Tell whether more than MAX_DEPTH brackets are open at once, in valid JSON or not."""
    if body.count(b"[") + body.count(b"{") <= MAX_DEPTH:
        return False
    depth = 0
    for bracket in _BRACKETS.findall(_STRINGS.sub(b"", body)):
        depth = depth + 1 if bracket in b"[{" else max(depth - 1, 0)
        if depth > MAX_DEPTH:
            return True
    return False


def is_storable(text: str) -> bool:
    """Tell whether PostgreSQL and UTF-8 can hold the text: no NUL, no lone surrogate."""
    return "\0" not in text and (text.isascii() or not any("\ud800" <= character <= "\udfff" for character in text))


def _refuse_unstorable(value: Any) -> None:
    if isinstance(value, str):
        if not is_storable(value):
            raise Unreadable("invalid_text", "Text must not contain NUL or lone surrogates")
    elif isinstance(value, dict):
        for key, item in value.items():
            _refuse_unstorable(key)
            _refuse_unstorable(item)
    elif isinstance(value, list):
        for item in value:
            _refuse_unstorable(item)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    unique = dict(pairs)
    if len(unique) != len(pairs):
        raise Unreadable("duplicate_key", "JSON objects must not repeat a key")
    return unique


def _fraction(text: str) -> Decimal:
    nearest = float(text)
    if nearest in (float("inf"), float("-inf")):
        raise Unreadable("number_out_of_range", "A number is out of range")
    if nearest == 0.0:
        mantissa = text.lower().partition("e")[0]
        if any(digit in "123456789" for digit in mantissa):
            raise Unreadable("number_out_of_range", "A number is out of range")
        return _number(mantissa.lstrip("-"), text.lstrip("-"))  # as `-0`, which is an integer: no minus is stored
    return _number(text, text)


def _number(digits: str, text: str) -> Number:
    number = Number(digits)
    number.text = text
    return number


def _integer(text: str) -> int | Decimal:
    return int(text) if len(text) <= _EXACT_INT_DIGITS else _fraction(text)


def _no_constant(name: str) -> NoReturn:
    raise Unreadable("number_out_of_range", f"{name} is not a JSON number")


_STRICT = json.JSONDecoder(
    object_pairs_hook=_unique, parse_float=_fraction, parse_int=_integer, parse_constant=_no_constant
)
# int() would refuse 4,301 digits; raw control characters in a text do not keep its neighbours from being seen.
_LENIENT = json.JSONDecoder(parse_int=float, strict=False)
