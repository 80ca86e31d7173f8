"""The columns of a table as statements need them: with their types in PostgreSQL, and as arrays for many rows."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import BigInteger, Column, DateTime, Integer, LargeBinary, Numeric, SmallInteger, Table, Uuid


def columns(table: Table, *left_out: str) -> dict[str, str]:
    """Return the type of each column by its name, in the order of the table."""
    return {column.name: _type(column) for column in table.columns if column.name not in left_out}


def arrays(columns: Mapping[str, str]) -> dict[str, str]:
    """Return the parameters of a statement that takes an array for each column."""
    return {column: f"{kind}[]" for column, kind in columns.items()}


def unnest(columns: Mapping[str, str]) -> str:
    """Return the SQL that makes rows `n` of such arrays, with their `place`."""
    parameters = ", ".join(f"${column}" for column in columns)
    return f"unnest({parameters}) WITH ORDINALITY AS n ({', '.join(quoted(columns))}, place)"


def quoted(columns: Mapping[str, str]) -> list[str]:
    """Return the names as identifiers: some are words of SQL."""
    return [f'"{column}"' for column in columns]


def _type(column: Column[Any]) -> str:
    kind = column.type
    if isinstance(kind, DateTime):
        return "timestamptz" if kind.timezone else "timestamp"
    # BigInteger and SmallInteger are Integers too, so they come first.
    names = {BigInteger: "bigint", SmallInteger: "smallint", Integer: "integer", Numeric: "numeric"}
    names |= {LargeBinary: "bytea", Uuid: "uuid"}
    return next((name for python_type, name in names.items() if isinstance(kind, python_type)), "text")
