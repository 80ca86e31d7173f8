"""Arrays as parameters of statements.

psycopg2 writes an array as an expression with a constant for each element, and PostgreSQL parses, casts and evaluates
each of them. The text of the whole array is one constant for both.
"""

from collections.abc import Sequence
from typing import Any


def array_literal(values: Sequence[Any]) -> str:
    """Return the text of a one-dimensional array of text, of bytes, or of what `str()` writes as PostgreSQL reads it:
    numbers, UUIDs, times. None is NULL."""
    return f"{{{','.join(map(_element, values))}}}"


def _element(value: Any) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}"'
    return f'"\\\\x{value.hex()}"' if isinstance(value, bytes) else f'"{value}"'
