"""What a command answers: text for people, one JSON document for programs."""

import base64
import os
import pwd
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import wraps
from typing import Any

import click
from flask import current_app
from tabulate import tabulate

from app.cli.arguments import ID
from app.operations.audit import Operator
from app.operations.stored_records import WithBytes
from app.wire.encoder import encode


@dataclass(frozen=True, slots=True)
class Answer:
    """`document` is printed as JSON, with money as numbers, times and UUIDs as text; `text` is what a person reads."""

    document: Any
    text: str
    exit_code: int = 0


def looks(function: Callable[..., Answer | None]) -> Callable[..., None]:
    """Make a command of a function that only looks: call it with the settings, print its answer, if there is one."""

    @wraps(function)
    def run(as_json: bool, **given: Any) -> None:
        _print(function(current_app.extensions["settings"], **given), as_json=as_json)

    return _json_option(run)


def changes(function: Callable[..., Answer]) -> Callable[..., None]:
    """Make a command of a function that changes something: call it with the Operator, print its answer."""

    @wraps(function)
    def run(who: str, as_json: bool, **given: Any) -> None:
        operator = Operator(current_app.extensions["settings"], who)
        _print(function(operator, **given), as_json=as_json)

    return _as_option(_json_option(run))


def table(columns: str, rows: Iterable[Any]) -> str:
    """Return a line a row, or that there is none. `columns`: `header=attribute, …`, or `name, …` where both are one."""
    named = [column.partition("=") for column in columns.split(", ")]
    cells = [[printable(getattr(row, attribute or header)) for header, _, attribute in named] for row in rows]
    return tabulate(cells, [header for header, _, _ in named], disable_numparse=True) if cells else "Nothing."


def columns(headers: Sequence[str], rows: Iterable[Sequence[Iterable[object]]]) -> str:
    """Return a table whose cells have a line for each of their values, or that there is no row."""
    cells = [["\n".join(map(printable, cell)) for cell in row] for row in rows]
    return tabulate(cells, headers, disable_numparse=True) if cells else "Nothing."


def beyond(found: Sequence[Any], limit: int) -> str:
    """Return a line with the number of those that a list of so many does not show; nothing if it shows all."""
    return f"\nAnd {len(found) - limit} more." if len(found) > limit else ""


def record(fields: Iterable[tuple[str, Any]]) -> str:
    """Return one thing, a line a field."""
    cells = [[name, printable(value)] for name, value in fields]
    return tabulate(cells, tablefmt="plain", disable_numparse=True)


def printable(value: Any) -> str:
    """Return the value in one line that no terminal takes for a command: what others wrote may hold escapes."""
    if value is None:
        return "-"
    if isinstance(value, datetime):
        return value.isoformat(" ", "milliseconds").replace("+00:00", "Z")
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        value = round(value, 3)  # seconds, to the millisecond
    if isinstance(value, bytes):
        value = _as_text(value) or repr(value)[2:-1]
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in str(value))


def with_bytes(found: WithBytes[Any], *, only_bytes: bool) -> Answer | None:
    """Return the answer that shows a record with its key and value, which a document has as text and in Base64.

    `only_bytes`: print the value as it is instead.
    """
    if only_bytes:
        click.echo(found.value or b"", nl=False)
        return None
    document = asdict(found.record)
    del document["bytes"]
    text = record([*document.items(), ("key", found.key), ("value", found.value)])
    for name, data in (("key", found.key), ("value", found.value)):
        in_base64 = None if data is None else base64.b64encode(data).decode()
        document |= {name: _as_text(data), f"{name}_base64": in_base64}
    return Answer(document, text)


def _as_text(value: bytes | None) -> str | None:
    """Return the bytes as text, None where they are not UTF-8."""
    try:
        return None if value is None else value.decode()
    except UnicodeDecodeError:
        return None


def _print(answer: Answer | None, *, as_json: bool) -> None:
    if answer is not None:
        click.echo(encode(answer.document) if as_json else answer.text)
        if answer.exit_code:
            click.get_current_context().exit(answer.exit_code)


def _os_user() -> str:
    """Return the name of the OS account. $USER can be set to anything."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"uid {os.getuid()}"


_json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
_as_option = click.option(
    "--as", "who", type=ID, default=_os_user, help="Name in the audit line  [default: the account]"
)
