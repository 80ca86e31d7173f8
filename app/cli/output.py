"""Tables for people, one JSON document for programs."""

import base64
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

import click
from sqlalchemy import Row
from tabulate import tabulate

from app.wire.encoder import encode

json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")


class Failure(click.ClickException):
    """Ends the command with one sentence on standard error and exit code 1."""

    def show(self, file: Any = None) -> None:
        """Print the sentence."""
        click.echo(self.format_message(), file=file, err=True)


def fields(row: Row[*tuple[Any, ...]]) -> dict[str, Any]:
    """Return a row's values by their columns' names (as plain text: SQLAlchemy's own kind is no key for JSON)."""
    return {str(name): value for name, value in row._mapping.items()}


def print_json(document: Any) -> None:
    """Print the document; money becomes numbers, times and UUIDs text."""
    click.echo(encode(document))


def print_table(columns: Mapping[str, str], rows: Iterable[Mapping[str, Any]]) -> None:
    """Print rows, or that there are none. `columns`: the headers with the field that is under each."""
    cells = [[printable(row[field]) for field in columns.values()] for row in rows]
    click.echo(tabulate(cells, list(columns), disable_numparse=True) if cells else "Nothing.")


def print_record(fields: Iterable[tuple[str, Any]]) -> None:
    """Print one thing, a line a field."""
    cells = [[name, printable(value)] for name, value in fields]
    click.echo(tabulate(cells, tablefmt="plain", disable_numparse=True))


def printable(value: Any) -> str:
    """Return the value in one line that no terminal takes for a command: what others wrote may hold escapes."""
    if value is None:
        return "-"
    if isinstance(value, datetime):
        return value.isoformat(" ", "milliseconds").replace("+00:00", "Z")
    if isinstance(value, bytes):
        value = as_text(value) or repr(value)[2:-1]
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in str(value))


def as_text(value: bytes | None) -> str | None:
    """Return the bytes as text, None where they are not UTF-8."""
    try:
        return None if value is None else value.decode()
    except UnicodeDecodeError:
        return None


def as_base64(value: bytes | None) -> str | None:
    """Return the bytes as Base64 text."""
    return None if value is None else base64.b64encode(value).decode()
