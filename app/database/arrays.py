"""Arrays as parameters of statements, each as one constant.

psycopg2 writes an array as an expression with a constant for each element, and PostgreSQL parses, casts and evaluates
every one of them. The text of the whole array is one constant for both.
"""

from collections.abc import Iterable, Sequence
from typing import Any


def array_literal(values: Sequence[Any]) -> str:
    """Return the text of a one-dimensional array.

    Its elements are text, bytes, None for NULL, or values that `str()` writes as PostgreSQL reads them: numbers, UUIDs,
    times.
    """
    return f"{{{','.join(map(_element, values))}}}"


def as_columns(rows: Iterable[Sequence[Any]]) -> list[list[Any]]:
    """Return the columns of the rows: the arrays for a statement that writes many rows."""
    return [list(column) for column in zip(*rows, strict=True)]


def _element(value: Any) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}"'
    return f'"\\\\x{value.hex()}"' if isinstance(value, bytes) else f'"{value}"'
