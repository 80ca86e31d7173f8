"""The one JSON reader of both doors: strict, bounded, exact.

Input that would fail later, in a driver, is refused with a sentence: NUL and lone surrogates (PostgreSQL has no such
text), duplicate keys, NaN and Infinity, numbers that no reader can hold, deep nesting.

A body may have any number of values, because items and their extra keys have no limit. The event loop waits meanwhile,
so C code does the work for each bracket and number where that is possible.
"""

import json
import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any, NoReturn

import orjson

from app.models.errors import Refused

MAX_BYTES = 128 * 1024
MAX_DEPTH = 32

_STRINGS = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"?', re.DOTALL)
_SQUARE = bytes.maketrans(b"{}", b"[]")
_NO_BRACKETS = bytes(byte for byte in range(256) if byte not in b"[]{}")
_EXACT_INT_DIGITS = 18  # fits a signed 64-bit integer whatever the digits are
_LONG_NUMBER = re.compile(rb"[0-9]{%d}" % _EXACT_INT_DIGITS)
_ESCAPED_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")
_INFINITE = float("inf")


class Number(Decimal):
    """A JSON number with its text: items are passed on with the digits that were sent."""

    __slots__ = ("text",)
    text: str


def decode(body: bytes) -> Any:
    """Return the JSON value in `body`: numbers with a fraction or exponent as Decimal. Raises Refused."""
    if too_deep(body):
        raise Refused("too_deep", f"JSON is nested deeper than {MAX_DEPTH} levels")
    try:
        text = body.decode("utf-8-sig")
        value = (_WITH_LONG_NUMBERS if _LONG_NUMBER.search(body) else _STRICT).decode(text)
    except UnicodeDecodeError:
        raise Refused("invalid_json", "The text is not valid UTF-8") from None
    except json.JSONDecodeError as error:
        raise Refused("invalid_json", f"Malformed JSON at character {error.pos}: {error.msg}") from None
    if b"\\u" in body and _may_be_unstorable(text):  # without an escape neither NUL nor a lone surrogate can be in it
        _refuse_unstorable(value)
    return value


def decode_leniently(body: bytes) -> Any:
    """Return the value as a lenient reader has it (duplicate keys, NaN), None where that fails too.

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
    # Each pass takes off the innermost level. What is never closed is closed here, as far as that many levels may be.
    brackets = _STRINGS.sub(b"", body).translate(_SQUARE, _NO_BRACKETS) + b"]" * MAX_DEPTH
    for _ in range(MAX_DEPTH):
        brackets = brackets.replace(b"[]", b"")
        if b"[" not in brackets:
            return False
    return True


def is_storable(text: str) -> bool:
    """Tell whether PostgreSQL and UTF-8 can hold the text: no NUL, no lone surrogate."""
    return "\0" not in text and (text.isascii() or not any("\ud800" <= character <= "\udfff" for character in text))


def _may_be_unstorable(text: str) -> bool:
    """Tell whether JSON that is valid otherwise may have NUL or lone surrogates: orjson refuses lone surrogates."""
    try:
        orjson.loads(text)
    except orjson.JSONDecodeError:
        return True
    return _ESCAPED_NUL.search(text) is not None


def _refuse_unstorable(value: Any) -> None:
    if isinstance(value, str):
        if not is_storable(value):
            raise Refused("invalid_text", "Text must not contain NUL or lone surrogates")
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
        raise Refused("duplicate_key", "JSON objects must not repeat a key")
    return unique


def _fraction(text: str) -> Decimal:
    nearest = abs(float(text))
    if nearest == _INFINITE:
        raise Refused("number_out_of_range", "A number is out of range")
    if nearest == 0.0:
        mantissa = text.lower().partition("e")[0]
        if any(digit in "123456789" for digit in mantissa):
            raise Refused("number_out_of_range", "A number is out of range")
        return _number(Decimal(0), text.lstrip("-"))  # as `-0`, which is an integer: no minus is stored
    return _number(text, text)


def _number(value: str | Decimal, text: str) -> Number:
    """Return a number with its text. A zero is given as such: its exponent may be one that Decimal does not take."""
    number = Number(value)
    number.text = text
    return number


def _integer(text: str) -> int | Decimal:
    return int(text) if len(text) <= _EXACT_INT_DIGITS else _fraction(text)


def _no_constant(name: str) -> NoReturn:
    raise Refused("number_out_of_range", f"{name} is not a JSON number")


def _strict(read_integer: Callable[[str], int | Decimal]) -> json.JSONDecoder:
    return json.JSONDecoder(
        object_pairs_hook=_unique, parse_float=_fraction, parse_int=read_integer, parse_constant=_no_constant
    )


_STRICT = _strict(int)  # which the scanner then does itself, without a call
_WITH_LONG_NUMBERS = _strict(_integer)
# int() would refuse 4,301 digits; raw control characters in a text do not keep its neighbours from being seen.
_LENIENT = json.JSONDecoder(parse_int=float, strict=False)
