"""The rights of the user that the service runs as: migrations/grants.sql gives them, and a refusal names its line."""

import re
from functools import cache
from pathlib import Path

from sqlalchemy import Connection

FILE = Path(__file__).resolve().parents[2] / "migrations" / "grants.sql"
ROLE = "order_service"
"""The user's name in the file."""

_GRANT = re.compile(rf"^(GRANT .+ ON (?:SEQUENCE |FUNCTION )?(\w+)(?:\(\))?) TO {ROLE};$", re.MULTILINE)
_DENIED = re.compile(r"permission denied for \w+ (\w+)")


def grant_to(connection: Connection, role: str) -> None:
    """Give the role the rights of the file, in the connection's schema and transaction."""
    quote = connection.dialect.identifier_preparer.quote_identifier
    schema = connection.exec_driver_sql("SELECT current_schema()").scalar_one()
    grants = FILE.read_text().replace("SCHEMA public", f"SCHEMA {quote(schema)}")
    connection.exec_driver_sql(grants.replace(f" TO {ROLE};", f" TO {quote(role)};"))


def wanted_by(sentence: str) -> str:
    """Return what to say behind PostgreSQL's sentence about a missing right: the lines of the file for that table.

    Empty for any other sentence.
    """
    denied = _DENIED.search(sentence)
    lines = _lines().get(denied[1], []) if denied else []
    return f"; the service needs {' and '.join(lines)} (migrations/{FILE.name})" if lines else ""


@cache
def _lines() -> dict[str, list[str]]:
    """Return the grants by the name of the table, sequence or function."""
    found: dict[str, list[str]] = {}
    for grant, name in _GRANT.findall(FILE.read_text()):
        found.setdefault(name, []).append(grant)
    return found
